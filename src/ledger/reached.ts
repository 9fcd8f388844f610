/**
 * What each source node has reached in an interval: distinct peers and ports, within bounds. One seeded table of open
 * addressing holds them all, so that an entry costs one probe and nothing is allocated for it.
 */

/** Source nodes told apart, and peers and ports of all of them together. What comes later is not told apart. */
const maxSources = 8_000;
const maxMembers = 262_144;

/** Slots to begin with, and words of a slot: kind and source (0: free), and two of the member. */
const firstSlots = 1024;
const wordsPerSlot = 3;
const maxProbes = 32;

/** What a member is. Its number stands above the source's in a slot's first word. */
export const memberKinds = { name: 1, ipv4: 2, ipv6: 3, text: 4, port: 5 } as const;

export type MemberKind = (typeof memberKinds)[keyof typeof memberKinds];

/** A source node and what it has reached. */
export interface Reach {
  readonly source: string | undefined;
  readonly peers: number;
  readonly ports: number;
}

export class Reached {
  /** By the edge book's number of the source, what `placeOf` gave for it. */
  #places = new Uint32Array(256);
  #names: (string | undefined)[] = [];
  #peers = new Uint32Array(64);
  #ports = new Uint32Array(64);
  #slots = new Uint32Array(firstSlots * wordsPerSlot);
  #members = 0;
  #missed = 0;
  readonly #seed = crypto.getRandomValues(new Uint32Array(2));

  /** Sources, and observations of members, that found no room: the gauges are then lower bounds. */
  get missed(): number {
    return this.#missed;
  }

  /** The place of a source by its number in the edge book; 0 if there is no room for it. `name` is what it is called. */
  placeOf(source: number, name: string | undefined): number {
    if (source >= this.#places.length) this.#places = grown(this.#places, source + 1);
    const known = this.#places[source] as number;
    if (known !== 0) return known > maxSources ? 0 : known;
    const place = this.#names.length + 1;
    this.#places[source] = place;
    if (place > maxSources) {
      this.#missed++;
      return 0;
    }
    this.#names.push(name);
    if (place >= this.#peers.length) {
      this.#peers = grown(this.#peers, place + 1);
      this.#ports = grown(this.#ports, place + 1);
    }
    return place;
  }

  /** The place that a source has already; 0 if it has none. */
  knownPlace(source: number): number {
    const place = this.#places[source] as number;
    return place > maxSources ? 0 : place;
  }

  /** Notes that the source at `place` has reached a member: two words that tell members of a kind apart. */
  reach(place: number, kind: MemberKind, first: number, second: number): void {
    const head = (kind << 16) | place;
    const slots = this.#slots;
    const mask = slots.length / wordsPerSlot - 1;
    let slot = this.#hash(head, first, second) & mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const at = slot * wordsPerSlot;
      const found = slots[at] as number;
      if (found === 0) {
        this.#add(at, head, first, second);
        return;
      }
      if (found === head && slots[at + 1] === first >>> 0 && slots[at + 2] === second >>> 0) return;
      slot = (slot + 1) & mask;
    }
    this.#missed++;
  }

  /** Four words of an IPv6 address as the two of a member: seeded, so that nobody can make two addresses meet. */
  reachIpv6(place: number, words: Uint32Array, at: number): void {
    const [a, b, c, d] = [words[at], words[at + 1], words[at + 2], words[at + 3]] as [number, number, number, number];
    this.reach(place, memberKinds.ipv6, this.#hash(a, b, c) ^ d, this.#hash(d, this.#hash(b, c, a), d));
  }

  reachText(place: number, text: string): void {
    let [first, second] = [0, text.length];
    for (let at = 0; at < text.length; at++) {
      first = this.#hash(first, text.charCodeAt(at), at);
      second = this.#hash(second, first, at);
    }
    this.reach(place, memberKinds.text, first, second);
  }

  /** Every source that was seen. */
  *all(): Generator<Reach> {
    for (const [index, source] of this.#names.entries()) {
      yield { source, peers: this.#peers[index + 1] as number, ports: this.#ports[index + 1] as number };
    }
  }

  #add(at: number, head: number, first: number, second: number): void {
    if (this.#members >= maxMembers) {
      this.#missed++;
      return;
    }
    this.#slots[at] = head;
    this.#slots[at + 1] = first;
    this.#slots[at + 2] = second;
    this.#members++;
    const place = head & 0xffff;
    const counters = head >>> 16 === memberKinds.port ? this.#ports : this.#peers;
    counters[place] = (counters[place] as number) + 1;
    if (this.#members * 2 > this.#slots.length / wordsPerSlot) this.#grow();
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Uint32Array(old.length * 2);
    const mask = slots.length / wordsPerSlot - 1;
    for (let from = 0; from < old.length; from += wordsPerSlot) {
      const head = old[from] as number;
      if (head === 0) continue;
      let slot = this.#hash(head, old[from + 1] as number, old[from + 2] as number) & mask;
      while (slots[slot * wordsPerSlot] !== 0) slot = (slot + 1) & mask;
      slots.set(old.subarray(from, from + wordsPerSlot), slot * wordsPerSlot);
    }
    this.#slots = slots;
  }

  /** A seeded mix in 32-bit arithmetic (the finalizer of MurmurHash3, once per word). */
  #hash(a: number, b: number, c: number): number {
    let hash = (this.#seed[0] as number) ^ Math.imul(a, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 16) ^ b, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ c ^ (this.#seed[1] as number), 0xc2b2ae35);
    hash ^= hash >>> 13;
    hash = Math.imul(hash, 0x85ebca6b);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}

function grown(from: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const to = new Uint32Array(Math.max(length, from.length * 2));
  to.set(from);
  return to;
}
