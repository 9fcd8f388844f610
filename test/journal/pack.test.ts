/** What lies on disk is what was written, or is refused. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DamagedBlob, pack, unpack, unpackText } from "../../src/journal/pack.ts";
import { packKeys, unpackKeys } from "../../src/journal/seen-keys.ts";
import { keyOf } from "../support/journal.ts";
import { seeded } from "../support/random.ts";

const contents = ["", "a", "record\n".repeat(200), JSON.stringify({ event: { nodeId: "nONECNTRL", text: "üñ✓" } })];

test("comes back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      expect(Uint8Array.from(unpack(pack(bytes)))).toEqual(bytes);
    }),
    seeded(),
  );
  for (const content of contents) expect(unpackText(pack(content))).toBe(content);
});

test("is a tenth of the size for text that repeats", () => {
  expect(pack("record\n".repeat(200)).length).toBeLessThan(140);
});

describe("is refused", () => {
  test("cut short anywhere", () => {
    for (const packed of contents.map(pack)) {
      for (let length = 0; length < packed.length; length++) {
        expect(() => unpack(packed.subarray(0, length))).toThrow(DamagedBlob);
      }
    }
  });

  test("with a byte too many", () => {
    for (const packed of contents.map(pack))
      expect(() => unpack(Buffer.concat([packed, new Uint8Array(1)]))).toThrow(DamagedBlob);
  });

  /** Two bits of zstd's frame header say nothing about the content: the unused one, and for small frames how sizes are written. */
  test("with any bit flipped, but for those that change nothing", () => {
    for (const content of contents) {
      const packed = pack(content);
      let harmless = 0;
      for (let bit = 0; bit < packed.length * 8; bit++) {
        const flipped = packed.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
        try {
          expect(unpackText(flipped)).toBe(content);
          harmless++;
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedBlob);
        }
      }
      expect(harmless).toBeLessThanOrEqual(3);
    }
  });

  test("of another version, or from nowhere", () => {
    const packed = pack("a");
    packed[0] = 2;
    expect(() => unpack(packed)).toThrow("not a packed blob of version 1");
    expect(() => unpack(new Uint8Array(0))).toThrow(DamagedBlob);
  });

  test("without inflating what says a small length and holds a large one", () => {
    const bomb = pack("0".repeat(10_000_000));
    new DataView(bomb.buffer).setUint32(1, 10, true);
    expect(() => unpack(bomb)).toThrow(DamagedBlob);
  });
});

test("keys come back with their bits and the age of their row", () => {
  const keys = [keyOf(1, 7), keyOf(2), { high: 0xffff_ffff, low: 0x8000_0000, check: 0xffff_ffff, at: 0 }];
  const unpacked = unpackKeys(packKeys(keys, [1, 2, 12]), 99);
  expect(unpacked).toEqual({ keys: keys.map((key) => ({ ...key, at: 99 })), bits: [1, 2, 12] });
  expect(unpackKeys(packKeys([], []), 1)).toEqual({ keys: [], bits: [] });
});
