/** The claims of one flow record by address: what the record says about its own source node wins, then later nodes. */
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../records/flow/columns.ts";
import { hashOfAddress, noNumber, NumberTable } from "./tables.ts";

/** IPv4 addresses that are searched one after the other; more are indexed, up to a bound beyond which they are not found. */
const maxSearched = 16;
const maxIndexed = 32_768;

export class RecordClaims {
  #source: NodeClaim | undefined;
  #destinations: readonly NodeClaim[] = [];
  /** IPv4 addresses of the record with their claims, those that win first. */
  readonly #addresses = new Uint32Array(maxSearched);
  readonly #claims: NodeClaim[] = [];
  #count = 0;
  #isIndexed = false;
  /** By address, or its hash if it is IPv6, and stamp: a place in `#indexed`. Older stamps are of earlier records. */
  #index: NumberTable | undefined;
  #indexed: NodeClaim[] = [];
  /** Which of the claim's addresses it is. */
  #places: number[] = [];
  #stamp = 0;

  /** Turns to a record. Its claims are indexed only if they are many. */
  begin(columns: FlowColumns, record: number): void {
    const source = columns.sourceNode[record];
    const destinations = columns.destinationNodes[record] as readonly NodeClaim[];
    this.#source = source;
    this.#destinations = destinations;
    let addresses = source === undefined ? 0 : addressesOf(source);
    for (const claim of destinations) addresses += addressesOf(claim);
    this.#isIndexed = addresses > maxSearched;
    if (this.#isIndexed) this.#indexAll(addresses);
    else {
      this.#count = 0;
      if (source !== undefined) this.#list(source);
      for (let at = destinations.length - 1; at >= 0; at--) this.#list(destinations[at] as NodeClaim);
    }
  }

  /** What the record says about an IPv4 address. */
  findIpv4(ipv4: number): NodeClaim | undefined {
    if (this.#isIndexed) return this.#findIndexed(addressIpv4, ipv4, noWords);
    const addresses = this.#addresses;
    const count = this.#count;
    for (let place = 0; place < count; place++) if (addresses[place] === ipv4) return this.#claims[place];
    return undefined;
  }

  /** What the record says about an IPv6 address, given by its index into the columns' `ipv6`. */
  findIpv6(index: number, ipv6: Uint32Array): NodeClaim | undefined {
    return this.#isIndexed ? this.#findIndexed(addressIpv6, index, ipv6) : this.#search(addressIpv6, index, ipv6);
  }

  #list(claim: NodeClaim): void {
    const { ipv4 } = claim;
    for (let at = 0; at < ipv4.length; at++) {
      this.#addresses[this.#count] = ipv4[at] as number;
      this.#claims[this.#count++] = claim;
    }
  }

  #indexAll(addresses: number): void {
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

  #findIndexed(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
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

const noWords = new Uint32Array(0);

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

/** Whether a claim has this address, given as `source` and `destination` of the columns hold it. */
export function hasAddress({ ipv4, ipv6: held }: NodeClaim, tag: number, value: number, ipv6: Uint32Array): boolean {
  if (tag === addressIpv4) return ipv4.includes(value);
  for (let index = 0; index * 4 < held.length; index++) if (sameIpv6(held, index, ipv6, value)) return true;
  return false;
}
