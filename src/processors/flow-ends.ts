/** The ends of connections as attributes of log events: the same object for the same address, name and device, record after record. */
import type { LogAttributes } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import type { Address } from "../records/types.ts";
import type { Device } from "./directory.ts";
import { type Claims, deviceAt, nameOf, type NameOptions } from "./names.ts";

/** What a record says about the ends of its connections: one set of attributes an address and role. */
export interface FlowEnds {
  source(address: Address): LogAttributes;
  destination(address: Address): LogAttributes;
}

/** The ends of one record. */
export function flowEndsOf(claims: Claims, options: NameOptions): FlowEnds {
  const ends = new Map<Address, End>();
  function endOf(address: Address): End {
    let end = ends.get(address);
    if (end === undefined) ends.set(address, (end = knownEnd(address, claims, options)));
    return end;
  }
  return {
    source(address) {
      const end = endOf(address);
      return (end.source ??= sourceAttributes(address, end));
    },
    destination(address) {
      const end = endOf(address);
      return (end.destination ??= destinationAttributes(address, end));
    },
  };
}

interface End {
  readonly name: string;
  readonly device: Device | undefined;
  source: LogAttributes | undefined;
  destination: LogAttributes | undefined;
}

/** Addresses remembered, each with what it was last; they take some 10 MB. */
const maxKnownEnds = 16_384;

/** A device of more text is not remembered. */
const maxCharacters = 512;

const knownEnds = new Map<Address, End>();

function knownEnd(address: Address, claims: Claims, options: NameOptions): End {
  const name = nameOf(address, claims, options);
  const device = deviceAt(address, claims, options);
  const known = knownEnds.get(address);
  if (known !== undefined && known.name === name && known.device === device) return known;
  const end: End = { name, device, source: undefined, destination: undefined };
  if (device !== undefined && charactersOf(device) > maxCharacters) return end;
  if (knownEnds.size >= maxKnownEnds) knownEnds.clear();
  knownEnds.set(address, end);
  return end;
}

/** What it takes to remember a device. Each item of a list counts for its place as well. */
function charactersOf({ nodeId, user, os, addresses, tags }: Device): number {
  let characters = nodeId.length + user.length + os.length;
  for (const text of addresses) characters += text.length + 8;
  for (const text of tags) characters += text.length + 8;
  return characters;
}

type Attributes = AttributesOfLog<"tailscale.network.flow">;

function sourceAttributes(address: Address, { name, device }: End): Attributes {
  return {
    "network.type": address.family,
    "source.address": address.text,
    "tailscale.src.node": name,
    ...identityAttributes(device, "tailscale.src"),
  };
}

function destinationAttributes(address: Address, { name, device }: End): Attributes {
  return {
    "destination.address": address.text,
    "tailscale.dst.node": name,
    ...identityAttributes(device, "tailscale.dst"),
  };
}

function identityAttributes(device: Device | undefined, prefix: "tailscale.src" | "tailscale.dst"): Attributes {
  const attributes: Attributes = {};
  if (device === undefined) return attributes;
  if (device.user !== "") attributes[`${prefix}.user`] = device.user;
  if (device.tags.length > 0) attributes[`${prefix}.tags`] = device.tags.join(",");
  if (device.os !== "") attributes[`${prefix}.os`] = device.os;
  return attributes;
}
