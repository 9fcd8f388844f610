/**
 * What each source node has reached in an interval: distinct peers and ports, within bounds. One seeded table holds them all,
 * so that an entry costs one probe and nothing is allocated for it.
 */
import { hashOf, hashOfText, noNumber, NumberTable } from "../processors/tables.ts";

/** Source nodes told apart, and peers and ports of all of them together. Later ones are not told apart. */
const maxSources = 8_000;
const maxMembers = 262_144;

/** What a member is. Its number stands above the source's in a key. */
export const memberKinds = { name: 1, ipv4: 2, ipv6: 3, text: 4, port: 5 } as const;

export type MemberKind = (typeof memberKinds)[keyof typeof memberKinds];

/** Bits of a key's second word: a source's number in the edge book, the kind, and 14 more bits of a hash. */
const sourceBits = 15;
const kindBits = 3;

export class Reached {
  /** What the sources are called, by their number. */
  readonly #names = new Map<number, string | undefined>();
  /** 1: has a name here; 2: no room. */
  readonly #isKnown = new Uint8Array(1 << sourceBits);
  readonly #peers = new Uint32Array(1 << sourceBits);
  readonly #ports = new Uint32Array(1 << sourceBits);
  readonly #members = new NumberTable(maxMembers);

  /** Sources, and observations of members, that found no room: the gauges are then lower bounds. */
  missed = 0;

  /** Makes room for a source by its number in the edge book. `name`: its label. */
  addSource(source: number, name: string | undefined): void {
    if (this.#isKnown[source] !== 0) return;
    const hasRoom = this.#names.size < maxSources;
    this.#isKnown[source] = hasRoom ? 1 : 2;
    if (hasRoom) this.#names.set(source, name);
    else this.missed++;
  }

  /** Records that a source has reached a member, told apart from others of its kind by 32 bits and `more`. */
  reach(source: number, kind: MemberKind, member: number, more = 0): void {
    if (this.#isKnown[source] !== 1) return;
    const head = ((((more << kindBits) | kind) << sourceBits) | source) >>> 0;
    if (this.#members.find(member, head) !== noNumber) return;
    if (!this.#members.add(member, head, 0)) this.missed++;
    else if (kind === memberKinds.port) this.#ports[source] = (this.#ports[source] as number) + 1;
    else this.#peers[source] = (this.#peers[source] as number) + 1;
  }

  /** An IPv6 address of four words, by 46 bits of seeded hashes: nobody can construct two addresses that collide. */
  reachIpv6(source: number, words: Uint32Array, at: number): void {
    const [a, b, c, d] = [words[at], words[at + 1], words[at + 2], words[at + 3]] as [number, number, number, number];
    this.reach(source, memberKinds.ipv6, hashOf(hashOf(a, b), hashOf(c, d)) >>> 0, hashOf(hashOf(d, a), hashOf(b, c)));
  }

  reachText(source: number, text: string): void {
    this.reach(source, memberKinds.text, hashOfText(text) >>> 0, hashOfText(text, text.length));
  }

  /** Every source that was seen. */
  *all(): Generator<{ readonly name: string | undefined; readonly peers: number; readonly ports: number }> {
    for (const [source, name] of this.#names)
      yield { name, peers: this.#peers[source] as number, ports: this.#ports[source] as number };
  }
}
