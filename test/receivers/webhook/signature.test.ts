/** Signatures against the published vector and another implementation, timestamps at their limits, and the comparison. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import {
  isSigned,
  judgeTime,
  readSignature,
  type Signature,
  signatureHeaderOf,
} from "../../../src/receivers/webhook/signature.ts";
import { pythonSignatures } from "../../support/python-hmac.ts";
import { seeded } from "../../support/random.ts";

const vector = {
  secret: "tskey-webhook-xxxxx",
  seconds: 1_784_000_000,
  body: '[{"type":"test"}]',
  mac: "40c8de926aefa8f252dce67a19a69a393e656a6298719c2da8cfb452a36af820",
};

function read(header: string): Signature {
  const signature = readSignature(header);
  if (typeof signature === "string") throw new Error(signature);
  return signature;
}

describe("a signature", () => {
  test("matches the published vector, both when verified and when created", () => {
    const header = `t=${vector.seconds},v1=${vector.mac}`;
    expect(isSigned(read(header), [Buffer.from(vector.body)], vector.secret)).toBe(true);
    expect(signatureHeaderOf(vector.secret, vector.seconds, vector.body)).toBe(header);
    expect(pythonSignatures([{ ...vector, time: String(vector.seconds) }])).toEqual([vector.mac]);
  });

  test("by Python's standard library verifies whatever it signs, and fails with one more byte", () => {
    const secret = fc.stringMatching(/^[\x21-\x7e]{1,200}$/);
    const time = fc.integer({ min: 0, max: 999_999_999_999 }).map(String);
    const cases = fc.sample(fc.record({ secret, time, body: fc.uint8Array({ maxLength: 2000 }) }), seeded());
    const macs = pythonSignatures(cases);
    cases.forEach(({ secret: key, time: t, body }, place) => {
      const signature = read(`t=${t},v1=${macs[place]}`);
      const cut = Math.floor(body.length / 3);
      expect(isSigned(signature, [body.subarray(0, cut), body.subarray(cut)], key)).toBe(true);
      expect(isSigned(signature, [body, new Uint8Array([0])], key)).toBe(false);
      expect(isSigned(signature, [body], `${key}x`)).toBe(false);
    });
  });

  test("may be any of several in the header", () => {
    const [body] = [Buffer.from(vector.body)];
    const wrong = "0".repeat(64);
    const header = `t=${vector.seconds},v1=${wrong},v1=${vector.mac},v1=${wrong}`;
    expect(isSigned(read(header), [body], vector.secret)).toBe(true);
    expect(isSigned(read(header), [body], "other")).toBe(false);
  });
});

describe("a signature header", () => {
  const v1 = `v1=${vector.mac}`;
  test.each([
    ["as documented", `t=1784000000,${v1}`, 1],
    ["in another order", `${v1},t=1784000000`, 1],
    ["with white space", ` t=1784000000 , ${v1} `, 1],
    ["with unknown elements", `v0=abc,t=1784000000,${v1},v2=x,nonsense`, 1],
    ["in capital digits", `t=1784000000,v1=${vector.mac.toUpperCase()}`, 1],
    ["with a v1 that is none beside one", `t=1784000000,v1=abc,${v1}`, 1],
    ["with two v1", `t=1784000000,${v1},${v1}`, 2],
  ])("%s is read", (_, header, candidates) => {
    const signature = read(header);
    expect([signature.time, signature.seconds, signature.candidates.length]).toEqual([
      "1784000000",
      1_784_000_000,
      candidates,
    ]);
    expect(isSigned(signature, [Buffer.from(vector.body)], vector.secret)).toBe(true);
  });

  test.each([null, "", "  "])("%j is missing", (header) => {
    expect(readSignature(header)).toBe("missingSignature");
  });

  test.each([
    "nonsense",
    v1,
    "t=1784000000",
    `t=,${v1}`,
    `t=x,${v1}`,
    `t=-1,${v1}`,
    `t=1784000000.5,${v1}`,
    `t=1784000000000,${v1}`,
    `t=1784000000,t=1784000000,${v1}`,
    "t=1784000000,v1=",
    "t=1784000000,v1=abc",
    `t=1784000000,v1=${vector.mac}00`,
    `t=1784000000,v1=${"g".repeat(64)}`,
    `t=1784000000,v0=${vector.mac}`,
    `T=1784000000,V1=${vector.mac}`,
    `t=1784000000,${Array(17).fill(v1).join(",")}`,
  ])("%j is malformed", (header) => {
    expect(readSignature(header)).toBe("malformedSignature");
  });
});

describe("the time of a signature", () => {
  const receivedAt = 1_784_000_000_000;
  const rules = { tolerance: 300_000, late_retry_window: 0 };
  const late = { ...rules, late_retry_window: 3_600_000 };
  test.each([
    ["now", 0, rules, "timely"],
    ["at the edge of the past", -300, rules, "timely"],
    ["a second beyond", -301, rules, "staleTimestamp"],
    ["at the edge of the future", 300, rules, "timely"],
    ["a second ahead of it", 301, rules, "futureTimestamp"],
    ["a second beyond, with a window for late retries", -301, late, "late"],
    ["at the end of that window", -3900, late, "late"],
    ["a second beyond it", -3901, late, "staleTimestamp"],
    ["ahead, with that window", 301, late, "futureTimestamp"],
    ["long ago, without a tolerance", -1e9, { tolerance: 0, late_retry_window: 0 }, "timely"],
    ["far ahead, without a tolerance", 1e9, { tolerance: 0, late_retry_window: 0 }, "timely"],
  ] as const)("%s", (_, seconds, timeRules, verdict) => {
    expect(judgeTime(receivedAt / 1000 + seconds, receivedAt, timeRules)).toBe(verdict);
  });

  test("is judged to the millisecond of the local clock", () => {
    expect(judgeTime(receivedAt / 1000 - 300, receivedAt + 1, rules)).toBe("staleTimestamp");
    expect(judgeTime(receivedAt / 1000 + 300, receivedAt - 1, rules)).toBe("futureTimestamp");
  });
});

test("comparison takes the same steps whatever the signatures are", () => {
  const entry = join(import.meta.dirname, "../../support/comparison-entry.ts");
  const { stdout, stderr } = spawnSync(process.execPath, [entry], { encoding: "utf8" });
  expect(stderr).toBe("");
  const runs = JSON.parse(stdout) as { matches: boolean; lengths: number[][]; macs: number }[];
  expect(runs.map(({ matches }) => matches)).toEqual([true, true, false, false]);
  const pairs = Array.from({ length: 3 }, () => [32, 32]);
  for (const { lengths, macs } of runs) expect({ lengths, macs }).toEqual({ lengths: pairs, macs: 1 });
});
