/** Tests that zstd frames are found lazily, and that the search can pause anywhere in long data. */
import { describe, expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { maxFrames, TooManyFrames, zstdFrames } from "../../src/runtime/zstd-frames.ts";

const tiny = zstdCompressSync(" ");
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
const framesIn = (data: Uint8Array): Uint8Array[] => [...zstdFrames(data)].filter((frame) => frame !== undefined);

/** A frame of that many empty blocks, with the last one marked as such. */
function frameOfBlocks(count: number): Buffer {
  const blocks = Buffer.alloc(3 * count);
  blocks[3 * (count - 1)] = 1;
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]), blocks]);
}

describe("zstd frames", () => {
  test("are found one at a time: the first is returned before the second is examined", () => {
    const frames = zstdFrames(Buffer.concat([tiny, Buffer.from("garbage")]));
    expect(frames.next().value).toEqual(tiny);
    expect(() => frames.next()).toThrow("not zstd data");
  });

  test("are limited in number, with or without content", () => {
    expect(framesIn(Buffer.concat(Array(maxFrames).fill(tiny)))).toHaveLength(maxFrames);
    for (const frame of [tiny, skippable])
      expect(() => framesIn(Buffer.concat([...Array(maxFrames).fill(frame), tiny]))).toThrow(TooManyFrames);
  });

  test("of very many blocks let the search pause inside one frame, and across frames", () => {
    const blocks = 300_000;
    const one = [...zstdFrames(frameOfBlocks(blocks))];
    const many = [...zstdFrames(Buffer.concat(Array(1000).fill(frameOfBlocks(blocks / 1000))))];
    for (const [steps, frames] of [[one, 1] as const, [many, 1000] as const]) {
      expect(steps.filter((step) => step === undefined)).toHaveLength(4);
      expect(steps.filter((step) => step !== undefined)).toHaveLength(frames);
    }
  });
});
