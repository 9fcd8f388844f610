/** IP addresses and `address:port` endpoints of flow records, in one canonical form each. */
import { isIPv4, isIPv6 } from "node:net";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { Defect } from "./defect.ts";
import type { Address, Endpoint } from "./types.ts";

/** The address that stands for DERP relays in physical traffic (tailcfg.DerpMagicIP); its port is the region. */
export const derpRelayAddress = "127.3.3.40";

/** Distinct address texts remembered; 64 Ki of them take about 10 MB. */
const maxKnownAddresses = 65_536;

const knownAddresses = new BoundedCache<string, Address | "invalid">(
  maxKnownAddresses,
  (text) => parse(text) ?? "invalid",
);

/**
 * The address of a text, or nothing. IPv6 becomes RFC 5952 text, an IPv4-mapped address the IPv4 one.
 * The same text gives the same object while it is remembered.
 */
export function parseAddress(text: string): Address | undefined {
  const address = knownAddresses.get(text);
  return address === "invalid" ? undefined : address;
}

/**
 * An endpoint `a.b.c.d:port`, `[v6]:port`, or a bare address.
 * @throws {Defect} `invalid_endpoint`
 */
export function parseEndpoint(text: string): Endpoint {
  const colon = text.lastIndexOf(":");
  const bracketed = text.charCodeAt(0) === 0x5b;
  if (!bracketed && colon >= 0 && text.indexOf(":") === colon)
    return endpoint(text, text.slice(0, colon), portAt(text, colon + 1));
  if (!bracketed) return endpoint(text, text, 0);
  const closing = text.indexOf("]");
  if (closing === text.length - 1) return endpoint(text, text.slice(1, closing), 0);
  if (closing < 0 || colon !== closing + 1) throw invalid(text);
  return endpoint(text, text.slice(1, closing), portAt(text, colon + 1));
}

function endpoint(text: string, addressText: string, port: number): Endpoint {
  const address = parseAddress(addressText);
  if (address === undefined) throw invalid(text);
  return { address, port };
}

function portAt(text: string, from: number): number {
  if (from === text.length || text.length - from > 5) throw invalid(text);
  let port = 0;
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) throw invalid(text);
    port = port * 10 + digit;
  }
  if (port > 65_535) throw invalid(text);
  return port;
}

function invalid(text: string): Defect {
  return new Defect("invalid_endpoint", `not an endpoint: ${text.slice(0, 80)}`);
}

function parse(text: string): Address | undefined {
  if (isIPv4(text)) return { text, family: "ipv4", isOverlay: isCarrierGrade(text) };
  if (!isIPv6(text)) return undefined;
  const zoneAt = text.indexOf("%");
  const canonical = canonicalIPv6(zoneAt < 0 ? text : text.slice(0, zoneAt));
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped !== null) {
    const high = Number.parseInt(mapped[1] ?? "", 16);
    const low = Number.parseInt(mapped[2] ?? "", 16);
    const ipv4 = `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
    return { text: ipv4, family: "ipv4", isOverlay: isCarrierGrade(ipv4) };
  }
  const zone = zoneAt < 0 ? "" : text.slice(zoneAt);
  return {
    text: canonical + zone,
    family: "ipv6",
    isOverlay: canonical.startsWith("fd7a:115c:a1e0:"),
  };
}

/** The URL standard's host serializer writes RFC 5952 text, in every runtime. */
function canonicalIPv6(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

/** 100.64.0.0/10, from which Tailscale gives IPv4 addresses. */
function isCarrierGrade(ipv4: string): boolean {
  if (!ipv4.startsWith("100.")) return false;
  const second = Number(ipv4.slice(4, ipv4.indexOf(".", 4)));
  return second >= 64 && second <= 127;
}
