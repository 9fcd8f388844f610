/** Which events are asked for, as the page's address says it, and as the instance is asked. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { actorOf } from "../../catalogue/event-words.ts";
import type { RecordType } from "../../records/types.ts";
import type { Parameters } from "../api.ts";
import type { Route } from "../route.ts";

export const eventTypes = ["audit", "webhook", "flow"] as const satisfies readonly RecordType[];

/** Connections are many, so they are shown if asked for. */
const usualTypes: readonly RecordType[] = ["audit", "webhook"];

export const severities = ["info", "warn"] as const;

export interface EventFilter {
  readonly types: readonly RecordType[];
  readonly severity: (typeof severities)[number];
  readonly text: string;
  /** Empty: anybody. */
  readonly actor: string;
  readonly nodes: readonly string[];
  /** When they were received, epoch milliseconds. */
  readonly since?: number;
  readonly until?: number;
  /** The event to show with its neighbors. */
  readonly id?: string;
}

/** What the instance accepts as `text`. */
export const maxText = 256;

/** Whatever somebody has typed into the address: what makes no sense is left out. */
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

/** A filter's parameters in the address. What is usual is left out. */
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

/** The parameters of `/api/v1/events`. An actor is a text there; which of the answers are the actor's, `isShown` decides. */
export function parametersOf({ types, severity, text, actor, nodes }: EventFilter): Parameters {
  const words = `${text} ${actor}`.trim();
  return {
    types: types.join(","),
    ...(severity === "info" ? {} : { severity }),
    ...(words === "" ? {} : { text: words.length > maxText ? text : words }),
    ...(nodes.length === 0 ? {} : { nodes: nodes.join(",") }),
  };
}

/** Whether an event that the instance has found is one that was asked for. */
export function isShown(event: AcceptedEvent, { actor, since }: EventFilter): boolean {
  if (since !== undefined && Date.parse(event.acceptedAt) < since) return false;
  return actor === "" || actorOf(event).toLowerCase().includes(actor.toLowerCase());
}
