/** Keeps, drops or hashes what the settings of `privacy` name: the one place where that is decided for anything that leaves. */
import { hash } from "node:crypto";
import {
  logs,
  type LogAttributeDefinition,
  type PrivacyCategory,
  type PrivacyRule,
  type PrivacySettings,
} from "../catalogue/logs.ts";
import type { AttributeValue, LogAttributes, LogEvent } from "../catalogue/log-event.ts";
import { type Address, parseAddress } from "../records/address.ts";
import { externalName, unknownName, unverifiedPrefix } from "./names.ts";

/** Stands in a text for what was dropped. */
export const droppedText = "[dropped]";

/** UTF-16 units of a text that are looked through: more than any text that leaves may have. */
const maxScrubbedLength = 65_536;

type Privacy = ReturnType<typeof createPrivacy>;

const made = new WeakMap<PrivacySettings, Privacy>();

/** The functions of these settings; the same for the same object. */
export function privacyOf(settings: PrivacySettings): Privacy {
  let known = made.get(settings);
  if (known === undefined) made.set(settings, (known = createPrivacy(settings)));
  return known;
}

/** Names that stand for no node in particular. */
const commonNames: ReadonlySet<string> = new Set([unknownName, externalName]);

const rules = new Map<string, PrivacyRule>(
  Object.values(logs).flatMap(({ attributes }) =>
    Object.entries(attributes as Readonly<Record<string, LogAttributeDefinition>>).flatMap(([name, { privacy }]) =>
      privacy === undefined ? [] : [[name, privacy] as const],
    ),
  ),
);

const webhookPrefix = "tailscale.webhook.";

function createPrivacy({ actions, salt }: PrivacySettings) {
  const hidesAddresses = addressCategories.some((category) => actions[category] !== "keep");

  function scrub(text: string, identifiersOfEvent: ReadonlyMap<string, string>): string {
    let scrubbed = text.slice(0, maxScrubbedLength);
    for (const [identifier, left] of identifiersOfEvent) {
      if (identifier.length >= minIdentifierCharacters) scrubbed = scrubbed.replaceAll(identifier, () => left);
    }
    for (const [category, pattern] of patterns) {
      if (actions[category] === "keep") continue;
      scrubbed = scrubbed.replaceAll(pattern, (found) => hidden(category, found) ?? droppedText);
    }
    return hidesAddresses ? scrubbed.replaceAll(addressLike, withoutAddress) : scrubbed;
  }

  /** An address may be followed by a port, or by the end of a sentence. */
  function withoutAddress(found: string): string {
    for (const rest of [/$/, /[.:]+$/, /:\d{1,5}[.:]*$/]) {
      const candidate = found.replace(rest, "");
      const parsed = parseAddress(candidate);
      if (parsed !== undefined) return (address(parsed) ?? droppedText) + found.slice(candidate.length);
    }
    return found;
  }

  /** What is left of a value; nothing if it is dropped. */
  function value(category: PrivacyCategory, text: string): string | undefined {
    switch (actions[category]) {
      case "keep":
        return text;
      case "drop":
        return undefined;
      case "hash":
        return `hash-${hash("sha256", `${salt}\n${text}`, "hex").slice(0, 16)}`;
    }
  }

  function hidden(category: PrivacyCategory, text: string): string | undefined {
    return category === "hostnames" ? host(text) : value(category, text);
  }

  const address = (known: Address): string | undefined => value(categoryOfAddress(known), known.text);

  /** By its first label, which is what flows call a node. */
  function host(name: string): string | undefined {
    const [label = ""] = name.split(".", 1);
    return actions.hostnames === "keep" ? name : value("hostnames", label);
  }

  /** The same for a node's name as metrics and logs have it: a label, an address, `unknown` or `external`. */
  function node(name: string): string | undefined {
    if (commonNames.has(name)) return name;
    const parsed = parseAddress(name);
    if (parsed !== undefined) return address(parsed);
    if (!name.startsWith(unverifiedPrefix)) return host(name);
    const label = host(name.slice(unverifiedPrefix.length));
    return label === undefined ? undefined : unverifiedPrefix + label;
  }

  function ruled(rule: PrivacyRule, text: string, all: LogAttributes): string | undefined {
    switch (rule) {
      case "node":
        return node(text);
      case "address": {
        const parsed = parseAddress(text);
        return parsed === undefined ? value("external_ips", text) : address(parsed);
      }
      case "target_id":
        return value(targetIdCategory[String(all["tailscale.target.type"])] ?? "free_text", text);
      case "target_name": {
        const category = targetNameCategory[String(all["tailscale.target.type"])] ?? "free_text";
        if (category === "hostnames") return node(text);
        return category === "free_text" ? freeText(text, all) : value(category, text);
      }
      case "free_text":
        return freeText(text, all);
      default:
        return value(rule, text);
    }
  }

  function freeText(text: string, all: LogAttributes): string | undefined {
    return actions.free_text === "keep" ? scrub(text, identifiers(all)) : value("free_text", text);
  }

  /** What the event says in attributes of their own must not be readable in its texts either. */
  function identifiers(all: LogAttributes): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const [name, text] of Object.entries(all)) {
      const rule = rules.get(name);
      if (rule === undefined || rule === "free_text" || typeof text !== "string") continue;
      const isFreeName = targetNameCategory[String(all["tailscale.target.type"])] === undefined;
      if (rule === "target_name" && isFreeName) continue;
      const left = ruled(rule, text, all) ?? droppedText;
      if (left !== text) found.set(text, left);
    }
    return new Map([...found].toSorted(([a], [b]) => b.length - a.length));
  }

  function cleaned(all: LogAttributes): LogAttributes {
    const kept: Record<string, AttributeValue> = {};
    for (const [name, found] of Object.entries(all)) {
      const rule = rules.get(name);
      if (rule === undefined || typeof found === "number" || typeof found === "boolean") {
        kept[name] = found;
        continue;
      }
      if (typeof found === "string") {
        const left = ruled(rule, found, all);
        if (left !== undefined) kept[name] = left;
        continue;
      }
      const left = found.map((text) => ruled(rule, text, all)).filter((text) => text !== undefined);
      if (left.length > 0) kept[name] = left;
    }
    return kept;
  }

  return {
    value,
    node,
    address,
    /** A text of our own, such as a log line. */
    text: (text: string): string => scrub(text, new Map()),
    /** What is left of a set of attributes that belongs to none but itself. */
    attributes: cleaned,
    event(event: LogEvent): LogEvent {
      const { name, body, attributes: all } = event;
      const left = name.startsWith(webhookPrefix) ? freeText(body, all) : scrub(body, identifiers(all));
      return { ...event, body: left ?? droppedText, attributes: cleaned(all) };
    },
  };
}

const targetIdCategory: Readonly<Record<string, PrivacyCategory>> = {
  NODE: "node_ids",
  USER: "user_ids",
  TAILNET: "tailnet_name",
};

const targetNameCategory: Readonly<Record<string, PrivacyCategory>> = {
  NODE: "hostnames",
  USER: "emails",
  TAILNET: "tailnet_name",
};

/** Shorter ones would be found inside words. */
const minIdentifierCharacters = 3;

/** Names, addresses and ids inside texts. Counted quantifiers, so that a hostile text costs linear time. */
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

/** The setting that decides about an address. */
function categoryOfAddress({ text, isOverlay }: Address): (typeof addressCategories)[number] {
  if (isOverlay) return "tailscale_ips";
  return internalAddress.test(text) ? "internal_ips" : "external_ips";
}
