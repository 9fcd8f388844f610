/** Finds addresses, names and ids of people and machines inside texts: bodies, messages, old and new values. */
import type { PrivacyCategory } from "../catalogue/logs.ts";
import { type Address, parseAddress } from "../records/address.ts";

/** `identifiers`: texts that the event has in other attributes, with their replacements. */
export type Scrubber = (text: string, identifiers: ReadonlyMap<string, string>) => string;

/** Shorter ones would be found inside words. */
const minIdentifierCharacters = 3;

/** Counted quantifiers, so that a hostile text costs linear time. */
const email = /[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g;
const magicName = /\b[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\.ts\.net\b/g;
const nodeId = /\bn[0-9A-Za-z]{4,32}CNTRL\b/g;
const userId = /\bu[0-9A-Za-z]{4,32}CNTRL\b/g;
const addressLike = /[0-9A-Fa-f.:]{2,60}/g;

/** `replace` gives the replacement of a text that was found; only categories that are not kept are looked for. */
export function createScrubber(
  actions: Readonly<Record<PrivacyCategory, string>>,
  replace: (category: PrivacyCategory, text: string) => string,
): Scrubber {
  const isHidden = (category: PrivacyCategory): boolean => actions[category] !== "keep";
  const hidesAddresses = isHidden("tailscale_ips") || isHidden("internal_ips") || isHidden("external_ips");
  return (text, identifiers) => {
    let scrubbed = text;
    for (const [identifier, left] of identifiers) {
      if (identifier.length >= minIdentifierCharacters) scrubbed = scrubbed.replaceAll(identifier, () => left);
    }
    const hide = (category: PrivacyCategory, pattern: RegExp): void => {
      if (isHidden(category)) scrubbed = scrubbed.replaceAll(pattern, (found) => replace(category, found));
    };
    hide("emails", email);
    hide("hostnames", magicName);
    hide("node_ids", nodeId);
    hide("user_ids", userId);
    if (hidesAddresses) {
      scrubbed = scrubbed.replaceAll(addressLike, (found) => withoutAddress(found, replace));
    }
    return scrubbed;
  };
}

/** Private use: RFC 1918, RFC 4193, link-local and loopback. */
const internalAddress =
  /^(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd][\da-f]{2}:|fe[89ab][\da-f]:|::1$)/;

/** The setting that decides about an address. */
export function categoryOfAddress({ text, isOverlay }: Address): "tailscale_ips" | "internal_ips" | "external_ips" {
  if (isOverlay) return "tailscale_ips";
  return internalAddress.test(text) ? "internal_ips" : "external_ips";
}

/** An address may be followed by a port, or by the end of a sentence. */
function withoutAddress(found: string, replace: (category: PrivacyCategory, text: string) => string): string {
  for (const rest of [/$/, /[.:]+$/, /:\d{1,5}[.:]*$/]) {
    const candidate = found.replace(rest, "");
    const address = parseAddress(candidate);
    if (address !== undefined) return replace(categoryOfAddress(address), address.text) + found.slice(candidate.length);
  }
  return found;
}
