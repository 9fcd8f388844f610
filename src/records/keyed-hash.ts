/**
 * HalfSipHash-2-4 with 64 bits of output, over 32-bit words: a pseudo-random function that needs nothing but 32-bit
 * arithmetic (Aumasson and Bernstein, https://github.com/veorq/SipHash). SHA-256 costs ten times as much per entry.
 */
import type { Buffer } from "node:buffer";

export class KeyedHash {
  /** The two halves of the last digest, signed 32-bit. */
  low = 0;
  high = 0;

  readonly #key0: number;
  readonly #key1: number;

  /** The key is the first eight bytes. */
  constructor(key: Buffer) {
    this.#key0 = key.readInt32LE(0);
    this.#key1 = key.readInt32LE(4);
  }

  /** Digests the message of the first `count` words, least significant byte first, and three more bytes. */
  digest(words: Int32Array, count: number, lastThreeBytes: number): void {
    let v0 = this.#key0;
    let v1 = this.#key1 ^ 0xee;
    let v2 = this.#key0 ^ 0x6c79_6765;
    let v3 = this.#key1 ^ 0x7465_6462;
    const last = (lastThreeBytes & 0xff_ffff) | ((count * 4 + 3) << 24);
    // Two rounds for each word and the last one, then four for each half of the digest.
    const rounds = count * 2 + 2;
    let word = 0;
    for (let round = 0; round < rounds + 8; round++) {
      if (round < rounds) {
        if ((round & 1) === 0) {
          word = round === rounds - 2 ? last : (words[round >> 1] as number);
          v3 ^= word;
        }
      } else if (round === rounds) {
        v2 ^= 0xee;
      } else if (round === rounds + 4) {
        this.low = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      if (round < rounds && (round & 1) === 1) v0 ^= word;
    }
    this.high = v1 ^ v3;
  }
}
