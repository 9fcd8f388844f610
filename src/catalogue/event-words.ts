/** Puts audit and webhook events into words: who did what to whom. The page and terminals show them, and the search finds them. */
import { auditEventName, flowEventName, type LogEvent } from "./log-event.ts";

/** All of these come from records, so they may be any text. */
export interface EventWords {
  /** Empty if nobody is named. */
  readonly actor: string;
  readonly what: string;
  readonly target: string;
  /** Empty if it did not fail. */
  readonly failure: string;
}

type Event = Pick<LogEvent, "name" | "body" | "attributes">;

/** The words of an event; for a connection, only the actor. */
export function eventWords(event: Event): EventWords {
  const { name, body, attributes } = event;
  const of = (attribute: string): string => textOf(attributes[attribute]);
  const actor = actorOf(event);
  if (name === flowEventName) return { actor, what: "", target: "", failure: "" };
  if (name !== auditEventName) {
    const target = of("tailscale.webhook.node.device.name") || of("tailscale.webhook.user");
    return { actor, what: body || of("tailscale.webhook.type"), target, failure: "" };
  }
  const target = of("tailscale.target.name") || of("tailscale.target.id");
  const error = of("error.message");
  return { actor, what: changeOf(event), target, failure: error === "" ? "" : `which failed: ${error}` };
}

export function actorOf({ name, attributes }: Pick<Event, "name" | "attributes">): string {
  const first = (...names: readonly string[]): string =>
    names.map((attribute) => textOf(attributes[attribute])).find(Boolean) ?? "";
  if (name === flowEventName) return first("tailscale.src.node", "source.address");
  if (name !== auditEventName) return first("tailscale.webhook.actor");
  return first("user.name", "user.full_name", "tailscale.actor.tags", "user.id");
}

/** `KEY_EXPIRY_TIME` as `key expiry time`. */
export function readable(word: string): string {
  if (word === "ACL") return "the policy file";
  const parts = word.split("_").map((part) => (acronyms.has(part) ? part : part.toLowerCase()));
  return parts.join(" ").replace("magic DNS", "MagicDNS");
}

const acronyms = new Set("ACL API DNS HTTPS ID IP MFA OAUTH SCIM SSH TLS URL".split(" "));

/** Everyday words for the actions of Tailscale's audit log. */
export const actionWords: Readonly<Record<string, string>> = {
  LOGIN: "signed in",
  LOGOUT: "signed out",
  CREATE: "created",
  UPDATE: "changed",
  DELETE: "deleted",
  CANCEL: "canceled",
  REVOKE: "revoked",
  APPROVE: "approved",
  SUSPEND: "suspended",
  RESTORE: "restored",
  ENABLE: "enabled",
  DISABLE: "disabled",
  ACCEPT: "accepted",
  INVITE: "invited",
  JOIN: "joined",
  LEAVE: "left",
  RESEND: "sent again",
};

function changeOf({ attributes }: Pick<Event, "attributes">): string {
  const action = textOf(attributes["tailscale.audit.action"]);
  const verb = (Object.hasOwn(actionWords, action) && actionWords[action]) || readable(action);
  if (action === "LOGIN" || action === "LOGOUT") return verb;
  const object = textOf(attributes["tailscale.target.property"]) || textOf(attributes["tailscale.target.type"]);
  return `${verb} ${readable(object)}`.trimEnd();
}

function textOf(value: unknown): string {
  return value === undefined ? "" : [value].flat().join(", ");
}
