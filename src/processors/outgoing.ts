/**
 * Prepares text for export: hashes or drops it as `privacy` says, makes it well-formed, and cuts it to a maximum length, which
 * is counted. Every attribute, log body and metric label passes through here.
 */
import { hash } from "node:crypto";
import { type AttributeValue, type LogAttributes, type LogEvent, presentAttributes } from "../catalogue/log-event.ts";
import {
  type LogAttributeDefinition,
  logs,
  type PrivacyCategory,
  type PrivacyRule,
  type PrivacySettings,
} from "../catalogue/logs.ts";
import { cutText } from "../lib/text.ts";
import { type Address, parseAddress } from "../records/address.ts";
import { externalName, unknownName, unverifiedPrefix } from "./names.ts";

/** Maximum bytes (UTF-8) of a string attribute of a log record, or of all strings in a list together. */
export const maxAttributeBytes = 4096;
/** Maximum bytes of the body of a log record. */
export const maxBodyBytes = 32_768;
/** Maximum bytes of an attribute value of a metric. */
export const maxLabelBytes = 256;

/** Maximum bytes (UTF-8) of texts in an event. */
export interface TextLimits {
  readonly attributeBytes: number;
  readonly bodyBytes: number;
}

const exportedTexts: TextLimits = { attributeBytes: maxAttributeBytes, bodyBytes: maxBodyBytes };

let truncatedTexts = 0;

/** Number of texts cut in this thread since the last call. */
export function takeTruncatedTexts(): number {
  const taken = truncatedTexts;
  truncatedTexts = 0;
  return taken;
}

/** The text as UTF-8 can encode it (a lone surrogate becomes U+FFFD), cut by `cutText` if it is too long. */
export function boundedText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text.toWellFormed();
  // One unit more than can fit is enough to see that the text is too long.
  const whole = text.slice(0, maxBytes + 1).toWellFormed();
  const cut = cutText(whole, maxBytes);
  if (cut !== whole) truncatedTexts++;
  return cut;
}

/** An attribute value of a metric. */
export function boundedLabel(text: string): string {
  return boundedText(text, maxLabelBytes);
}

/** The attributes with every string cut to its maximum; usually returned unchanged. */
export function boundedAttributes(attributes: LogAttributes, maxBytes = maxAttributeBytes): LogAttributes {
  const isSurelyBounded = Object.values(attributes).every((value) =>
    typeof value === "string" ? value.length * 3 <= maxBytes && value.isWellFormed() : !Array.isArray(value),
  );
  if (isSurelyBounded) return attributes;
  const cut = Object.entries(attributes).map(([name, value]) => {
    if (typeof value === "string") return [name, boundedText(value, maxBytes)] as const;
    return [name, typeof value === "object" ? boundedList(value) : value] as const;
  });
  return presentAttributes(Object.fromEntries(cut));
}

/** The event with all strings cut to their maximum. */
export function boundedEvent(event: LogEvent, { attributeBytes, bodyBytes } = exportedTexts): LogEvent {
  return {
    ...event,
    name: event.name.toWellFormed(),
    body: boundedText(event.body, bodyBytes),
    attributes: boundedAttributes(event.attributes, attributeBytes),
  };
}

/** The first strings of a list that fit together. */
function boundedList(texts: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let left = maxAttributeBytes;
  for (const text of texts) {
    const wellFormed = text.toWellFormed();
    left -= Buffer.byteLength(wellFormed);
    if (left < 0) {
      truncatedTexts++;
      break;
    }
    kept.push(wellFormed);
  }
  return kept;
}

/** Replaces identifiers that are dropped from within a text. */
export const droppedText = "[dropped]";

/** Only this many characters of a text are searched: longer than any text that is exported. */
const maxScrubbedLength = 65_536;

type Privacy = ReturnType<typeof createPrivacy>;

const created = new WeakMap<PrivacySettings, Privacy>();

/** Without settings nothing is hidden. */
const keepsAll: Privacy = {
  value: (_, text) => text,
  node: (name) => name,
  address: ({ text }) => text,
  attributes: (all) => all,
  text: (text) => text,
  event: (event) => event,
};

/** The functions for these settings, created once per settings object. */
export function privacyOf(settings: PrivacySettings | undefined): Privacy {
  if (settings === undefined) return keepsAll;
  let known = created.get(settings);
  if (known === undefined) created.set(settings, (known = createPrivacy(settings)));
  return known;
}

const rules = new Map<string, PrivacyRule>();
for (const { attributes } of Object.values(logs))
  for (const [name, { privacy }] of Object.entries<LogAttributeDefinition>(attributes))
    if (privacy !== undefined) rules.set(name, privacy);

function createPrivacy({ actions, salt }: PrivacySettings) {
  const hidesAddresses = addressCategories.some((category) => actions[category] !== "keep");

  /** The value as it is exported; undefined if dropped. */
  function value(category: PrivacyCategory, text: string): string | undefined {
    if (actions[category] === "keep") return text;
    if (actions[category] === "drop") return undefined;
    return `hash-${hash("sha256", `${salt}\n${text}`, "hex").slice(0, 16)}`;
  }

  const address = (known: Address): string | undefined => value(categoryOfAddress(known), known.text);

  /** Hashed by its first label, which is the node's name in flow logs. */
  const host = (name: string): string | undefined =>
    actions.hostnames === "keep" ? name : value("hostnames", name.replace(/\..*$/s, ""));

  /** A node's name in metrics and logs: a label, an address, `unknown` or `external`. */
  function node(name: string): string | undefined {
    if (name === unknownName || name === externalName) return name;
    const parsed = parseAddress(name);
    if (parsed !== undefined) return address(parsed);
    if (!name.startsWith(unverifiedPrefix)) return host(name);
    const label = host(name.slice(unverifiedPrefix.length));
    return label === undefined ? undefined : unverifiedPrefix + label;
  }

  function ruled(rule: PrivacyRule, text: string, all: LogAttributes): string | undefined {
    const target = targets.get(all["tailscale.target.type"]);
    const category = rule === "target_id" ? (target?.id ?? "free_text") : rule;
    switch (category) {
      case "node":
        return node(text);
      case "address": {
        const parsed = parseAddress(text);
        return parsed === undefined ? value("external_ips", text) : address(parsed);
      }
      case "target_name":
        if (target === undefined) return freeText(text, all);
        return target.name === "hostnames" ? node(text) : value(target.name, text);
      case "free_text":
        return rule === "target_id" ? value(category, text) : freeText(text, all);
      default:
        return value(category, text);
    }
  }

  function freeText(text: string, all: LogAttributes): string | undefined {
    return actions.free_text === "keep" ? scrub(text, identifiers(all)) : value("free_text", text);
  }

  /** Replacements for identifiers in other attributes of the event, so that its free text does not reveal them. Longest first. */
  function identifiers(all: LogAttributes): readonly (readonly [identifier: string, replacement: string])[] {
    const found = new Map<string, string>();
    for (const [name, text] of Object.entries(all)) {
      const rule = rules.get(name);
      if (rule === undefined || rule === "free_text" || typeof text !== "string") continue;
      if (rule === "target_name" && !targets.has(all["tailscale.target.type"])) continue;
      const left = ruled(rule, text, all) ?? droppedText;
      if (left !== text && text.length >= minIdentifierCharacters) found.set(text, left);
    }
    return [...found].toSorted(([a], [b]) => b.length - a.length);
  }

  function scrub(text: string, replacements: ReturnType<typeof identifiers>): string {
    let scrubbed = text.slice(0, maxScrubbedLength);
    for (const [identifier, replacement] of replacements) scrubbed = scrubbed.replaceAll(identifier, () => replacement);
    for (const [category, pattern] of patterns) {
      if (actions[category] === "keep") continue;
      const left = category === "hostnames" ? host : (found: string) => value(category, found);
      scrubbed = scrubbed.replaceAll(pattern, (found) => left(found) ?? droppedText);
    }
    return hidesAddresses ? scrubbed.replaceAll(addressLike, withoutAddress) : scrubbed;
  }

  /** An address may be followed by a port or by the end of a sentence. */
  function withoutAddress(found: string): string {
    for (const rest of [/$/, /[.:]+$/, /:\d{1,5}[.:]*$/]) {
      const candidate = found.replace(rest, "");
      const parsed = parseAddress(candidate);
      if (parsed !== undefined) return (address(parsed) ?? droppedText) + found.slice(candidate.length);
    }
    return found;
  }

  /** The attributes as they are exported. */
  function attributes(all: LogAttributes): LogAttributes {
    const left: Record<string, AttributeValue | undefined> = {};
    for (const [name, found] of Object.entries(all)) {
      const rule = rules.get(name);
      if (rule === undefined || typeof found === "number" || typeof found === "boolean") left[name] = found;
      else if (typeof found === "string") left[name] = ruled(rule, found, all);
      else left[name] = found.map((text) => ruled(rule, text, all)).filter((text) => text !== undefined);
    }
    return presentAttributes(left);
  }

  return {
    value,
    node,
    address,
    attributes,
    /** A text of the program's own, such as a log line. */
    text: (text: string): string => scrub(text, []),
    event(event: LogEvent): LogEvent {
      const { name, body, attributes: all } = event;
      const left = name.startsWith("tailscale.webhook.") ? freeText(body, all) : scrub(body, identifiers(all));
      return { ...event, body: left ?? droppedText, attributes: attributes(all) };
    },
  };
}

/** The categories of an audit target's id and name by its type; any other target's are free text. */
const targets = new Map<unknown, { readonly id: PrivacyCategory; readonly name: PrivacyCategory }>([
  ["NODE", { id: "node_ids", name: "hostnames" }],
  ["USER", { id: "user_ids", name: "emails" }],
  ["TAILNET", { id: "tailnet_name", name: "tailnet_name" }],
]);

/** Shorter identifiers would be found inside words. */
const minIdentifierCharacters = 3;

/** Names and ids inside texts. Bounded quantifiers, so that a hostile text takes linear time. */
const patterns: readonly (readonly [PrivacyCategory, RegExp])[] = [
  ["emails", /[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g],
  ["hostnames", /\b[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\.ts\.net\b/g],
  ["node_ids", /\bn[0-9A-Za-z]{4,32}CNTRL\b/g],
  ["user_ids", /\bu[0-9A-Za-z]{4,32}CNTRL\b/g],
];
const addressLike = /[0-9A-Fa-f.:]{2,60}/g;

const addressCategories = ["tailscale_ips", "internal_ips", "external_ips"] as const;

/** Private use: RFC 1918, RFC 4193, link-local and loopback. */
const internalAddress =
  /^(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd][\da-f]{2}:|fe[89ab][\da-f]:|::1$)/;

/** The setting that applies to an address. */
function categoryOfAddress({ text, isOverlay }: Address): (typeof addressCategories)[number] {
  if (isOverlay) return "tailscale_ips";
  return internalAddress.test(text) ? "internal_ips" : "external_ips";
}
