/** Tests freeing the memory of buffers at once if nothing else uses it. */
import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { freeBuffer } from "../../src/runtime/process.ts";

test.each([
  ["an array of its own", new Uint32Array(256)],
  ["a large buffer, by a view of a part of it", new Uint8Array(16 * 1024).subarray(1)],
])("%s is freed", (_, view) => {
  freeBuffer(view);
  expect(view.buffer.byteLength).toBe(0);
  expect(view).toHaveLength(0);
});

test.each([
  ["a small array, which is inside of the collected heap", new Uint32Array(255)],
  ["a part of a small buffer, which others may have parts of", new Uint8Array(16 * 1024 - 1).subarray(1)],
  ["a piece of the pool", Buffer.from("a text of a few bytes")],
])("%s is left alone", (_, view) => {
  const { length } = view;
  freeBuffer(view);
  expect(view).toHaveLength(length);
});
