/** The event filter, as stored in the page's address and as sent to the instance. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { actorOf } from "../../catalogue/event-words.ts";
import type { RecordType } from "../../records/types.ts";
import type { Parameters } from "../api.ts";
import type { Route } from "../route.ts";

export const eventTypes = ["audit", "webhook", "flow"] as const satisfies readonly RecordType[];

/** Connections are numerous, so they are shown only on request. */
const usualTypes: readonly RecordType[] = ["audit", "webhook"];

export const severities = ["info", "warn"] as const;

export interface EventFilter {
  readonly types: readonly RecordType[];
  readonly severity: (typeof severities)[number];
  readonly text: string;
  /** Empty: any actor. */
  readonly actor: string;
  readonly nodes: readonly string[];
  /** Range of the time of receipt, epoch milliseconds. */
  readonly since?: number;
  readonly until?: number;
  /** The event to show with its neighbors. */
  readonly id?: string;
}

/** The longest `text` that the instance accepts. */
export const maxText = 256;

/** Reads the filter from the address, which a person may have edited; invalid values are ignored. */
export function filterOf({ nodes, more }: Pick<Route, "nodes" | "more">): EventFilter {
  const asked = (more["types"] ?? "").split(",");
  const types = eventTypes.filter((type) => asked.includes(type));
  const times = (["since", "until"] as const).flatMap((name) => {
    const at = Number(more[name] || Number.NaN);
    return Number.isSafeInteger(at) && at >= 0 ? [[name, at] as const] : [];
  });
  return {
    types: types.length === 0 ? usualTypes : types,
    severity: severities.find((name) => name === more["severity"]) ?? "info",
    text: (more["text"] ?? "").slice(0, maxText),
    actor: (more["actor"] ?? "").slice(0, maxText),
    nodes,
    ...Object.fromEntries(times),
    ...(more["id"] ? { id: more["id"] } : {}),
  };
}

/** A filter's parameters in the address; defaults are omitted. */
export function addressOf({ types, severity, text, actor, since, until, id }: EventFilter): Record<string, string> {
  return {
    types: eventTypes.every((type) => types.includes(type) === usualTypes.includes(type)) ? "" : types.join(","),
    severity: severity === "info" ? "" : severity,
    text,
    actor,
    since: since === undefined ? "" : String(since),
    until: until === undefined ? "" : String(until),
    id: id ?? "",
  };
}

/** The parameters of `/api/v1/events`, which searches for the actor as text; `isShown` then drops events of other actors. */
export function parametersOf({ types, severity, text, actor, nodes }: EventFilter): Parameters {
  const words = `${text} ${actor}`.trim();
  return {
    types: types.join(","),
    ...(severity === "info" ? {} : { severity }),
    ...(words === "" ? {} : { text: words.length > maxText ? text : words }),
    ...(nodes.length === 0 ? {} : { nodes: nodes.join(",") }),
  };
}

/** True if an event found by the instance also matches `actor` and `since`. */
export function isShown(event: AcceptedEvent, { actor, since }: EventFilter): boolean {
  if (since !== undefined && Date.parse(event.acceptedAt) < since) return false;
  return actor === "" || actorOf(event).toLowerCase().includes(actor.toLowerCase());
}
