/** What the settings of `privacy` keep, drop or hash: the one place where anything that leaves is made to tell less. */
import { hash } from "node:crypto";
import { attributesOf, type AttributeValue, type LogAttributes, type LogEvent } from "../catalogue/log-event.ts";
import {
  logs,
  type LogAttributeDefinition,
  type PrivacyCategory,
  type PrivacyRule,
  type PrivacySettings,
} from "../catalogue/logs.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { parseAddress } from "../records/address.ts";
import type { Address } from "../records/types.ts";
import { externalName, unknownName, unverifiedPrefix } from "./names.ts";
import { categoryOfAddress, createScrubber } from "./scrubber.ts";

export interface Privacy {
  /** What is left of a value; nothing where it is dropped. */
  value(category: PrivacyCategory, text: string): string | undefined;
  /** The same of a node's name as metrics and logs have it: a label, an address, or a word for what has none. */
  node(name: string): string | undefined;
  address(address: Address): string | undefined;
  event(event: LogEvent): LogEvent;
  /** A text of our own, with what is to be hidden in it hidden. */
  text(text: string): string;
}

/** Stands in a text for what was dropped. */
const droppedText = "[dropped]";

const maxHashes = 65_536;

const made = new WeakMap<PrivacySettings, Privacy>();

/** The functions of these settings; the same for the same object. */
export function privacyOf(settings: PrivacySettings): Privacy {
  let known = made.get(settings);
  if (known === undefined) made.set(settings, (known = createPrivacy(settings)));
  return known;
}

/** Words that stand for no node in particular. */
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
  const hashes = new BoundedCache<string, string>(
    maxHashes,
    (text) => `hash-${hash("sha256", `${salt}\n${text}`, "hex").slice(0, 16)}`,
  );
  const sets = new WeakMap<LogAttributes, LogAttributes>();
  const scrub = createScrubber(actions, (category, text) => hidden(category, text) ?? droppedText);

  function value(category: PrivacyCategory, text: string): string | undefined {
    switch (actions[category]) {
      case "keep":
        return text;
      case "drop":
        return undefined;
      case "hash":
        return hashes.get(text);
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

  /** What the event itself says in attributes of their own must not stand in its texts either. */
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
    event(event) {
      const all = attributesOf(event);
      const shared = event.shared.map((set) => {
        let known = sets.get(set);
        if (known === undefined) sets.set(set, (known = cleaned(set, all)));
        return known;
      });
      const body = event.name.startsWith(webhookPrefix)
        ? freeText(event.body, all)
        : scrub(event.body, identifiers(all));
      const { name, severity, time, observedTime } = event;
      const attributes = cleaned(event.attributes, all);
      return { name, severity, time, observedTime, body: body ?? droppedText, shared, attributes };
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
