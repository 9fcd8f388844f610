/** The device directory: what the API says about nodes, which takes precedence over claims in records. */
import { parseIpv4 } from "../records/address.ts";

/** A node according to the API. */
export interface Device {
  readonly nodeId: string;
  /** The first DNS label of its name; may be empty. */
  readonly label: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

/** All nodes according to the API. Plain data, copied to the export worker. */
export interface Directory {
  /** By IPv4 address as an unsigned 32-bit number. */
  readonly byIpv4: ReadonlyMap<number, Device>;
  /** By the canonical text of any other address. */
  readonly byText: ReadonlyMap<string, Device>;
  readonly byNodeId: ReadonlyMap<string, Device>;
}

/** Builds a directory. An address of two devices belongs to the later one. */
export function directoryOf(devices: readonly Device[]): Directory {
  const byIpv4 = new Map<number, Device>();
  const byText = new Map<string, Device>();
  const byNodeId = new Map<string, Device>();
  for (const device of devices) {
    byNodeId.set(device.nodeId, device);
    for (const text of device.addresses) {
      const ipv4 = parseIpv4(text);
      if (ipv4 === undefined) byText.set(text, device);
      else byIpv4.set(ipv4, device);
    }
  }
  return { byIpv4, byText, byNodeId };
}
