/**
 * What each source node has reached in an interval: distinct peers and ports, within bounds. One seeded table holds them all,
 * so that an entry costs one probe and nothing is allocated for it.
 */
import { hashOf, hashOfText, noNumber, NumberTable } from "../processors/tables.ts";

/** Source nodes told apart, and peers and ports of all of them together. What comes later is not told apart. */
const maxSources = 8_000;
const maxMembers = 262_144;

/** What a member is. Its number stands above the source's in a key. */
export const memberKinds = { name: 1, ipv4: 2, ipv6: 3, text: 4, port: 5 } as const;

export type MemberKind = (typeof memberKinds)[keyof typeof memberKinds];

/** Bits of a key's second word below the kind: the place of the source; above it, 16 bits more of a hash. */
const placeBits = 13;
const hashBits = 16;

export class Reached {
  /** By the edge book's number of the source, what `placeOf` gave for it. */
  #places = new Uint32Array(256);
  #names: (string | undefined)[] = [];
  readonly #peers = new Uint32Array(maxSources + 1);
  readonly #ports = new Uint32Array(maxSources + 1);
  readonly #members = new NumberTable(maxMembers);

  /** Sources, and observations of members, that found no room: the gauges are then lower bounds. */
  missed = 0;

  /** The place of a source by its number in the edge book; 0 if there is no room for it. `name` is what it is called. */
  placeOf(source: number, name: string | undefined): number {
    if (source >= this.#places.length) {
      const places = new Uint32Array(source * 2);
      places.set(this.#places);
      this.#places = places;
    }
    if (this.#places[source] !== 0) return this.knownPlace(source);
    const place = this.#names.length + 1;
    this.#places[source] = place;
    if (place <= maxSources) this.#names.push(name);
    else this.missed++;
    return this.knownPlace(source);
  }

  /** The place that a source has already; 0 if it has none. */
  knownPlace(source: number): number {
    const place = this.#places[source] as number;
    return place > maxSources ? 0 : place;
  }

  /** Notes that the source at `place` has reached a member, which 32 bits and some more tell apart from others of its kind. */
  reach(place: number, kind: MemberKind, member: number, more = 0): void {
    const head = ((more << hashBits) | (kind << placeBits) | place) >>> 0;
    if (this.#members.find(member, head) !== noNumber) return;
    if (!this.#members.add(member, head, 0)) this.missed++;
    else if (kind === memberKinds.port) this.#ports[place] = (this.#ports[place] as number) + 1;
    else this.#peers[place] = (this.#peers[place] as number) + 1;
  }

  /** An IPv6 address of four words, by 48 bits of seeded hashes: nobody can make two addresses meet. */
  reachIpv6(place: number, words: Uint32Array, at: number): void {
    const [a, b, c, d] = [words[at], words[at + 1], words[at + 2], words[at + 3]] as [number, number, number, number];
    this.reach(place, memberKinds.ipv6, hashOf(hashOf(a, b), hashOf(c, d)) >>> 0, hashOf(hashOf(d, a), hashOf(b, c)));
  }

  reachText(place: number, text: string): void {
    this.reach(place, memberKinds.text, hashOfText(text) >>> 0, hashOfText(text, text.length));
  }

  /** Every source that was seen. */
  *all(): Generator<{ readonly source: string | undefined; readonly peers: number; readonly ports: number }> {
    for (const [index, source] of this.#names.entries()) {
      yield { source, peers: this.#peers[index + 1] as number, ports: this.#ports[index + 1] as number };
    }
  }
}
