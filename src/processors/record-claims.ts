/** Looks up the claims of one flow record by address. The record's own source node takes precedence, then later destination nodes. */
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressIpv4, addressIpv6, type FlowColumns } from "../records/flow/columns.ts";
import { hashOf, noNumber, NumberTable } from "./tables.ts";

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
  #index: AddressIndex | undefined;

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
    this.#index = addresses > maxSearched ? new AddressIndex(claims) : undefined;
    if (this.#index === undefined) this.#listAll();
  }

  /** The claim with an IPv4 address. */
  findIpv4(ipv4: number): NodeClaim | undefined {
    if (this.#index !== undefined) return this.#index.findIpv4(ipv4);
    const addresses = this.#addresses;
    const count = this.#count;
    for (let place = 0; place < count; place++) if (addresses[place] === ipv4) return this.#owners[place];
    return undefined;
  }

  /** The claim with an IPv6 address, given as an index into the columns' `ipv6`. */
  findIpv6(index: number, ipv6: Uint32Array): NodeClaim | undefined {
    if (this.#index !== undefined) return this.#index.findIpv6(index, ipv6);
    for (const claim of this.#claims) if (hasAddress(claim, addressIpv6, index, ipv6)) return claim;
    return undefined;
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
}

/** The addresses of one record's claims: IPv6 by two seeded hashes, so that nobody can construct two that collide. */
class AddressIndex {
  readonly #numbers = new NumberTable(maxIndexed);
  readonly #claims: NodeClaim[] = [];

  constructor(claims: readonly NodeClaim[]) {
    for (const claim of claims) {
      const { ipv4, ipv6 } = claim;
      for (let at = 0; at < ipv4.length; at++) this.#add(ipv4[at] as number, 0, claim);
      for (let at = 0; at * 4 < ipv6.length; at++) this.#add(upperHash(ipv6, at), lowerHash(ipv6, at), claim);
    }
  }

  findIpv4(ipv4: number): NodeClaim | undefined {
    return this.#claims[this.#numbers.find(ipv4, 0)];
  }

  findIpv6(index: number, ipv6: Uint32Array): NodeClaim | undefined {
    return this.#claims[this.#numbers.find(upperHash(ipv6, index), lowerHash(ipv6, index))];
  }

  /** Adds an address of a claim unless a claim with precedence has it. */
  #add(a: number, b: number, claim: NodeClaim): void {
    if (this.#numbers.find(a, b) === noNumber && this.#numbers.add(a, b, this.#claims.length)) this.#claims.push(claim);
  }
}

function upperHash(ipv6: Uint32Array, index: number): number {
  return hashOf(ipv6[index * 4] as number, ipv6[index * 4 + 1] as number) >>> 0;
}

function lowerHash(ipv6: Uint32Array, index: number): number {
  return hashOf(ipv6[index * 4 + 2] as number, ipv6[index * 4 + 3] as number) >>> 0;
}

/** Compares two IPv6 addresses, each given by its index. */
export function sameIpv6(one: Uint32Array, oneIndex: number, other: Uint32Array, otherIndex: number): boolean {
  const at = oneIndex * 4;
  const from = otherIndex * 4;
  for (let word = 3; word >= 0; word--) if (one[at + word] !== other[from + word]) return false;
  return true;
}

/** True if a claim has an address, given as in the `source` and `destination` columns. */
export function hasAddress({ ipv4, ipv6: held }: NodeClaim, tag: number, value: number, ipv6: Uint32Array): boolean {
  if (tag === addressIpv4) return ipv4.includes(value);
  for (let index = 0; index * 4 < held.length; index++) if (sameIpv6(held, index, ipv6, value)) return true;
  return false;
}

function addressesOf({ ipv4, ipv6 }: NodeClaim): number {
  return ipv4.length + ipv6.length / 4;
}
