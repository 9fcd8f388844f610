/** Looks up the claims of one flow record by address. The record's own source node takes precedence, then later destination nodes. */
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../records/flow/columns.ts";
import { hashOfAddress, noNumber, NumberTable } from "./tables.ts";

/** Up to this many addresses are searched linearly; more are indexed, up to `maxIndexed`. Addresses beyond that are not found. */
const maxSearched = 16;
const maxIndexed = 32_768;

export class RecordClaims {
  /** The record's claims in order of precedence. */
  readonly #claims: NodeClaim[] = [];
  /** Their IPv4 addresses, if few enough to search, with the claim of each. */
  readonly #addresses = new Uint32Array(maxSearched);
  readonly #owners: NodeClaim[] = [];
  #count = 0;
  #isIndexed = false;
  /** By address (IPv6: its hash) and stamp, an index into `#indexed`. Keys with an older stamp belong to earlier records. */
  #index: NumberTable | undefined;
  #indexed: { readonly claim: NodeClaim; readonly at: number }[] = [];
  #stamp = 0;

  /** Switches to a record. */
  begin(columns: FlowColumns, record: number): void {
    const source = columns.sourceNode[record];
    const destinations = columns.destinationNodes[record] as readonly NodeClaim[];
    const claims = this.#claims;
    let count = 0;
    let addresses = 0;
    if (source !== undefined) {
      claims[count++] = source;
      addresses += addressesOf(source);
    }
    for (let at = destinations.length - 1; at >= 0; at--) {
      const claim = destinations[at] as NodeClaim;
      claims[count++] = claim;
      addresses += addressesOf(claim);
    }
    claims.length = count;
    this.#isIndexed = addresses > maxSearched;
    if (this.#isIndexed) this.#indexAll(addresses);
    else this.#listAll();
  }

  /** The claim with an IPv4 address. */
  findIpv4(ipv4: number): NodeClaim | undefined {
    if (this.#isIndexed) return this.#findIndexed(addressIpv4, ipv4, noWords);
    const addresses = this.#addresses;
    const count = this.#count;
    for (let place = 0; place < count; place++) if (addresses[place] === ipv4) return this.#owners[place];
    return undefined;
  }

  /** The claim with an IPv6 address, given as an index into the columns' `ipv6`. */
  findIpv6(index: number, ipv6: Uint32Array): NodeClaim | undefined {
    return this.#isIndexed ? this.#findIndexed(addressIpv6, index, ipv6) : this.#search(addressIpv6, index, ipv6);
  }

  #listAll(): void {
    let count = 0;
    for (const claim of this.#claims) {
      const { ipv4 } = claim;
      for (let at = 0; at < ipv4.length; at++) {
        this.#addresses[count] = ipv4[at] as number;
        this.#owners[count++] = claim;
      }
    }
    this.#count = count;
  }

  #indexAll(addresses: number): void {
    const index = (this.#index ??= new NumberTable(maxIndexed));
    if (index.size + addresses > maxIndexed) {
      index.clear();
      this.#indexed = [];
    }
    this.#stamp = (this.#stamp + 1) & 0x7fff_ffff;
    for (const claim of this.#claims) {
      for (let at = 0; at < claim.ipv4.length; at++) this.#add(index, addressIpv4, claim.ipv4[at] as number, claim, at);
      for (let at = 0; at * 4 < claim.ipv6.length; at++) this.#add(index, addressIpv6, at, claim, at);
    }
  }

  /** Adds an address of a claim unless a claim with precedence has it. */
  #add(index: NumberTable, tag: number, value: number, claim: NodeClaim, at: number): void {
    const key = keyOf(tag, value, claim.ipv6);
    const stamp = this.#stampOf(tag);
    if (index.find(key, stamp) !== noNumber || !index.add(key, stamp, this.#indexed.length)) return;
    this.#indexed.push({ claim, at });
  }

  #findIndexed(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
    const number = this.#index?.find(keyOf(tag, value, ipv6), this.#stampOf(tag));
    const found = number === undefined ? undefined : this.#indexed[number];
    if (found === undefined) return undefined;
    // Different addresses with the same hash are rare, since the hash is seeded.
    const isSame = tag === addressIpv4 || sameIpv6(found.claim.ipv6, found.at, ipv6, value);
    return isSame ? found.claim : this.#search(tag, value, ipv6);
  }

  #stampOf(tag: number): number {
    return this.#stamp * 2 + (tag === addressIpv4 ? 0 : 1);
  }

  #search(tag: number, value: number, ipv6: Uint32Array): NodeClaim | undefined {
    for (const claim of this.#claims) if (hasAddress(claim, tag, value, ipv6)) return claim;
    return undefined;
  }
}

const noWords = new Uint32Array(0);

/** Compares two IPv6 addresses, each given by its index. */
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

/** Whether a claim has an address, given as in the `source` and `destination` columns. */
export function hasAddress({ ipv4, ipv6: held }: NodeClaim, tag: number, value: number, ipv6: Uint32Array): boolean {
  if (tag === addressIpv4) return ipv4.includes(value);
  for (let index = 0; index * 4 < held.length; index++) if (sameIpv6(held, index, ipv6, value)) return true;
  return false;
}
