/** Counts the `node:crypto` calls of one signature comparison, in its own process because it replaces that module. */
import { mock } from "bun:test";
import crypto from "node:crypto";

const real = { ...crypto };
let lengths: number[][] = [];
let macs = 0;
mock.module("node:crypto", () => ({
  ...real,
  timingSafeEqual(a: Uint8Array, b: Uint8Array) {
    lengths.push([a.byteLength, b.byteLength]);
    return real.timingSafeEqual(a, b);
  },
  createHmac(name: string, key: string) {
    macs++;
    return real.createHmac(name, key);
  },
}));
const { isSigned } = await import("../../src/receivers/webhook/signature.ts");

const body = Buffer.from("[]");
const right = real.createHmac("sha256", "first").update("1.[]").digest();
const nearly = Buffer.from(right);
nearly[31] = (nearly[31] as number) ^ 1;
const wrong = Buffer.alloc(32);

const runs = [
  [right, wrong, wrong],
  [wrong, wrong, right],
  [wrong, wrong, wrong],
  [nearly, nearly, nearly],
].map((candidates) => {
  lengths = [];
  macs = 0;
  const matches = isSigned({ time: "1", seconds: 1, candidates }, [body], "first");
  return { matches, lengths, macs };
});
process.stdout.write(JSON.stringify(runs));
