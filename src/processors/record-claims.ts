/** The claims of one flow record by address: what the record says about its own source node wins, then later nodes. */
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../records/flow/columns.ts";
import { hashOfAddress, noNumber, NumberTable } from "./tables.ts";

/** So many addresses are searched one after the other; more are indexed, up to a bound beyond which they are not found. */
const maxSearched = 16;
const maxIndexed = 32_768;

export class RecordClaims {
  #source: NodeClaim | undefined;
  #destinations: readonly NodeClaim[] = [];
  #isIndexed = false;
  /** By address, or its hash if it is IPv6, and stamp: a place in `#indexed`. What has an older stamp counts no more. */
  #index: NumberTable | undefined;
  #indexed: NodeClaim[] = [];
  /** Which of the claim's addresses it is. */
  #places: number[] = [];
  #stamp = 0;

  /** Turns to a record. Its claims are indexed only if they are many. */
  begin(columns: FlowColumns, record: number): void {
    this.#source = columns.sourceNode[record];
    this.#destinations = columns.destinationNodes[record] as readonly NodeClaim[];
    let addresses = this.#source === undefined ? 0 : addressesOf(this.#source);
    for (const claim of this.#destinations) addresses += addressesOf(claim);
    this.#isIndexed = addresses > maxSearched;
    if (!this.#isIndexed) return;
    const index = (this.#index ??= new NumberTable(maxIndexed));
    if (index.size + addresses > maxIndexed) {
      index.clear();
      this.#indexed = [];
      this.#places = [];
    }
    this.#stamp = (this.#stamp + 1) & 0x7fff_ffff;
    if (this.#source !== undefined) this.#add(index, this.#source);
    for (let at = this.#destinations.length - 1; at >= 0; at--) this.#add(index, this.#destinations[at] as NodeClaim);
  }

  /** What the record says about an address as columns hold it: `value` is an IPv4 address, or an index into `ipv6`. */
  find(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
    if (!this.#isIndexed) return this.#search(tag, value, ipv6);
    const found = this.#index?.find(keyOf(tag, value, ipv6), this.#stamp * 2 + (tag === addressIpv4 ? 0 : 1));
    if (found === undefined || found === noNumber) return undefined;
    const claim = this.#indexed[found] as NodeClaim;
    const at = this.#places[found] as number;
    // Two addresses with one hash: seeded, so nobody can make many of them.
    return tag === addressIpv4 || sameIpv6(claim.ipv6, at, ipv6, value) ? claim : this.#search(tag, value, ipv6);
  }

  #search(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
    if (this.#source !== undefined && hasAddress(this.#source, tag, value, ipv6)) return this.#source;
    for (let at = this.#destinations.length - 1; at >= 0; at--) {
      const claim = this.#destinations[at] as NodeClaim;
      if (hasAddress(claim, tag, value, ipv6)) return claim;
    }
    return undefined;
  }

  /** Adds a claim's addresses unless an earlier one has them. */
  #add(index: NumberTable, claim: NodeClaim): void {
    for (let at = 0; at < claim.ipv4.length; at++)
      this.#set(index, claim.ipv4[at] as number, this.#stamp * 2, claim, at);
    for (let at = 0; at * 4 < claim.ipv6.length; at++)
      this.#set(index, keyOf(addressIpv6, at, claim.ipv6), this.#stamp * 2 + 1, claim, at);
  }

  #set(index: NumberTable, key: number, stamp: number, claim: NodeClaim, at: number): void {
    if (index.find(key, stamp) !== noNumber || !index.add(key, stamp, this.#indexed.length)) return;
    this.#indexed.push(claim);
    this.#places.push(at);
  }
}

/** Whether two IPv6 addresses, each by its index, are the same. */
export function sameIpv6(one: Uint32Array, oneIndex: number, other: Uint32Array, otherIndex: number): boolean {
  const at = oneIndex * 4;
  const from = otherIndex * 4;
  for (let word = 3; word >= 0; word--) if (one[at + word] !== other[from + word]) return false;
  return true;
}

function keyOf(tag: number, value: number, ipv6: Uint32Array): number {
  return tag === addressIpv4 ? value : hashOfAddress(tag, value, ipv6) >>> 0;
}

function addressesOf({ ipv4, ipv6 }: NodeClaim): number {
  return ipv4.length + ipv6.length / 4;
}

function hasAddress({ ipv4, ipv6: held }: NodeClaim, tag: number, value: number, ipv6: Uint32Array): boolean {
  if (tag === addressIpv4) return ipv4.includes(value);
  for (let index = 0; index * 4 < held.length; index++) if (sameIpv6(held, index, ipv6, value)) return true;
  return false;
}
