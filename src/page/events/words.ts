/** An event in words: who did what to whom. All of it comes from records, so it may be any text. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { printable } from "../../lib/text.ts";
import { eventText } from "../../screen/event-text.ts";

export interface EventWords {
  readonly actor: string;
  readonly what: string;
  readonly target: string;
}

export function wordsOf(event: AcceptedEvent): EventWords {
  return { actor: actorOf(event), what: cut(whatOf(event), whatCharacters), target: targetOf(event) };
}

/** Empty if nobody is named. */
export function actorOf({ type, attributes }: AcceptedEvent): string {
  const first = (...names: readonly string[]): string =>
    names.map((name) => textOf(attributes[name])).find(Boolean) ?? "";
  if (type === "audit") return first("user.name", "user.full_name", "tailscale.actor.tags", "user.id");
  if (type === "webhook") return first("tailscale.webhook.actor");
  return first("tailscale.src.node", "source.address");
}

/** Text that shows every character: what could hide, reorder or forge text is written as an escape. Tabs and line breaks stay. */
export function visible(text: string): string {
  return printable(text, (character) => (character === "\t" || character === "\n" ? character : escaped(character)));
}

/** `KEY_EXPIRY_TIME` as `key expiry time`. */
export function readable(word: string): string {
  if (word === "ACL") return "the policy file";
  const parts = word.split("_").map((part) => (acronyms.has(part) ? part : part.toLowerCase()));
  return parts.join(" ").replace("magic DNS", "MagicDNS");
}

const acronyms = new Set("API DNS HTTPS ID IP MFA OAUTH SCIM SSH TLS URL".split(" "));

/** What a person says for an action of Tailscale's audit log. */
const actions: Readonly<Record<string, string>> = {
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

const whatCharacters = 300;
const targetCharacters = 100;

function whatOf(event: AcceptedEvent): string {
  const { type, body, attributes } = event;
  if (type === "flow") return eventText(event);
  if (type === "webhook") return body || textOf(attributes["tailscale.webhook.type"]);
  const action = textOf(attributes["tailscale.audit.action"]);
  const property = textOf(attributes["tailscale.target.property"]);
  const object = property || textOf(attributes["tailscale.target.type"]);
  const verb = (Object.hasOwn(actions, action) && actions[action]) || readable(action);
  const isSelf = action === "LOGIN" || action === "LOGOUT";
  const error = textOf(attributes["error.message"]);
  return `${isSelf ? verb : `${verb} ${readable(object)}`}${error === "" ? "" : `, which failed: ${error}`}`;
}

function targetOf({ type, attributes }: AcceptedEvent): string {
  const of = (name: string): string => textOf(attributes[name]);
  if (type === "audit") return cut(of("tailscale.target.name") || of("tailscale.target.id"), targetCharacters);
  if (type === "webhook")
    return cut(of("tailscale.webhook.node.device.name") || of("tailscale.webhook.user"), targetCharacters);
  return "";
}

function textOf(value: unknown): string {
  return value === undefined ? "" : [value].flat().join(", ");
}

/** For a line of a list; the details have all of it. */
function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters).toWellFormed()}…`;
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
