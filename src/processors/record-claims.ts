/** The claims of one flow record by address: what the record says about its own source node wins, then later nodes. */
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../records/flow/columns.ts";
import { hashOfAddress } from "./tables.ts";

/** So many addresses are searched one after the other; more are indexed. */
const maxSearched = 16;

/** A slot holds one address; beyond half of so many slots, addresses are not found. */
const firstSlots = 256;
const maxSlots = 131_072;
const maxProbes = 32;

export class RecordClaims {
  #source: NodeClaim | undefined;
  #destinations: readonly NodeClaim[] = [];
  #isIndexed = false;
  // The index: a slot counts if its stamp is the record's. It holds an address of a claim, as `find` takes it.
  #stamp = 0;
  #stamps = new Uint32Array(firstSlots);
  #tags = new Uint8Array(firstSlots);
  #values = new Uint32Array(firstSlots);
  #claims: NodeClaim[] = [];

  /** Turns to a record. Its claims are indexed only if they are many. */
  begin(columns: FlowColumns, record: number): void {
    this.#source = columns.sourceNode[record];
    this.#destinations = columns.destinationNodes[record] as readonly NodeClaim[];
    let addresses = this.#source === undefined ? 0 : addressesOf(this.#source);
    for (const claim of this.#destinations) addresses += addressesOf(claim);
    this.#isIndexed = addresses > maxSearched;
    if (this.#isIndexed) this.#index(addresses);
  }

  /** What the record says about an address as columns hold it: `value` is an IPv4 address, or an index into `ipv6`. */
  find(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
    if (this.#isIndexed) {
      const slot = this.#slotOf(tag, value, ipv6);
      return slot >= 0 && this.#stamps[slot] === this.#stamp ? this.#claims[slot] : undefined;
    }
    const source = this.#source;
    if (source !== undefined && hasAddress(source, tag, value, ipv6)) return source;
    const destinations = this.#destinations;
    for (let at = destinations.length - 1; at >= 0; at--) {
      const claim = destinations[at] as NodeClaim;
      if (hasAddress(claim, tag, value, ipv6)) return claim;
    }
    return undefined;
  }

  #index(addresses: number): void {
    let slots = this.#stamps.length;
    while (slots < addresses * 2 && slots < maxSlots) slots *= 2;
    if (slots > this.#stamps.length || this.#stamp === 0xffff_ffff) {
      this.#stamps = new Uint32Array(slots);
      this.#tags = new Uint8Array(slots);
      this.#values = new Uint32Array(slots);
      this.#claims = [];
      this.#stamp = 0;
    }
    this.#stamp++;
    for (const claim of this.#destinations) this.#add(claim);
    if (this.#source !== undefined) this.#add(this.#source);
  }

  /** Adds a claim's addresses over those of earlier claims. */
  #add(claim: NodeClaim): void {
    const { ipv4, ipv6 } = claim;
    for (let at = 0; at < ipv4.length; at++) this.#set(claim, addressIpv4, ipv4[at] as number);
    for (let index = 0; index * 4 < ipv6.length; index++) this.#set(claim, addressIpv6, index);
  }

  #set(claim: NodeClaim, tag: number, value: number): void {
    const slot = this.#slotOf(tag, value, claim.ipv6);
    if (slot < 0) return;
    this.#stamps[slot] = this.#stamp;
    this.#tags[slot] = tag;
    this.#values[slot] = value;
    this.#claims[slot] = claim;
  }

  /** The slot of an address, or a free one for it; -1 after 32 probes. */
  #slotOf(tag: number, value: number, ipv6: Uint32Array): number {
    const mask = this.#stamps.length - 1;
    let slot = hashOfAddress(tag, value, ipv6) & mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      if (this.#stamps[slot] !== this.#stamp) return slot;
      const held = this.#values[slot] as number;
      const isHere =
        tag === addressIpv4 ? held === value : sameIpv6((this.#claims[slot] as NodeClaim).ipv6, held, ipv6, value);
      if (isHere && this.#tags[slot] === tag) return slot;
      slot = (slot + 1) & mask;
    }
    return -1;
  }
}

/** Whether two IPv6 addresses, each by its index, are the same. */
export function sameIpv6(one: Uint32Array, oneIndex: number, other: Uint32Array, otherIndex: number): boolean {
  const at = oneIndex * 4;
  const from = otherIndex * 4;
  return (
    one[at + 3] === other[from + 3] &&
    one[at + 2] === other[from + 2] &&
    one[at + 1] === other[from + 1] &&
    one[at] === other[from]
  );
}

function addressesOf({ ipv4, ipv6 }: NodeClaim): number {
  return ipv4.length + ipv6.length / 4;
}

function hasAddress(claim: NodeClaim, tag: number, value: number, ipv6: Uint32Array): boolean {
  if (tag === addressIpv4) {
    const { ipv4 } = claim;
    for (let at = 0; at < ipv4.length; at++) if (ipv4[at] === value) return true;
    return false;
  }
  const { length } = claim.ipv6;
  for (let index = 0; index * 4 < length; index++) if (sameIpv6(claim.ipv6, index, ipv6, value)) return true;
  return false;
}
