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
import { categoryOfAddress, createScrubber } from "./scrubber.ts";
import { hashOfText } from "./tables.ts";

export interface Privacy {
  /** What is left of a value; nothing if it is dropped. */
  value(category: PrivacyCategory, text: string): string | undefined;
  /** The same for a node's name as metrics and logs have it: a label, an address, `unknown` or `external`. */
  node(name: string): string | undefined;
  address(address: Address): string | undefined;
  /** What is left of a set of attributes that belongs to none but itself. */
  attributes(set: LogAttributes): LogAttributes;
  event(event: LogEvent): LogEvent;
  /** A text of our own, such as a log line. */
  text(text: string): string;
}

/** Stands in a text for what was dropped. */
export const droppedText = "[dropped]";

/** Hashes remembered: a power of two. Longer texts are hashed anew each time. */
const rememberedHashes = 16_384;
const maxRememberedLength = 256;

/** UTF-16 units of a text that are looked through: more than any text that leaves may have. */
const maxScrubbedLength = 65_536;

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

function createPrivacy({ actions, salt }: PrivacySettings): Privacy {
  const hashed: string[] = [];
  const hashes: string[] = [];
  const scrubber = createScrubber(actions, (category, text) => hidden(category, text) ?? droppedText);

  function hashOf(text: string): string {
    if (text.length > maxRememberedLength) return computedHash(text);
    const slot = hashOfText(text) & (rememberedHashes - 1);
    if (hashed[slot] !== text) {
      hashed[slot] = text;
      hashes[slot] = computedHash(text);
    }
    return hashes[slot] as string;
  }

  function computedHash(text: string): string {
    return `hash-${hash("sha256", `${salt}\n${text}`, "hex").slice(0, 16)}`;
  }

  function scrub(text: string, identifiersOfEvent: ReadonlyMap<string, string>): string {
    return scrubber(text.slice(0, maxScrubbedLength), identifiersOfEvent);
  }

  function value(category: PrivacyCategory, text: string): string | undefined {
    switch (actions[category]) {
      case "keep":
        return text;
      case "drop":
        return undefined;
      case "hash":
        return hashOf(text);
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

  function cleaned(set: LogAttributes, all: LogAttributes): LogAttributes {
    const kept: Record<string, AttributeValue> = {};
    for (const [name, found] of Object.entries(set)) {
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
    text: (text) => scrub(text, new Map()),
    attributes: (set) => cleaned(set, set),
    event({ name, severity, time, observedTime, body, attributes: all }) {
      const left = name.startsWith(webhookPrefix) ? freeText(body, all) : scrub(body, identifiers(all));
      const attributes = cleaned(all, all);
      return { name, severity, time, observedTime, body: left ?? droppedText, attributes };
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
