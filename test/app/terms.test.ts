/** When an instance leads, and the order in which a term ends. The journal is a handle that the test grants and revokes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createTerms, type Led, type Terms } from "../../src/app/terms.ts";
import type { Journal } from "../../src/journal/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { until } from "../support/wait.ts";

let steps: string[];
let warnings: string[];
/** Lets the instance lead. */
let elect: () => AbortController;
let asked: number;
let fail: Error | undefined;
let terms: Terms<Led>;

beforeEach(() => {
  steps = [];
  warnings = [];
  asked = 0;
  fail = undefined;
  let waiting = Promise.withResolvers<Journal>();
  elect = () => {
    const losing = new AbortController();
    const led = { lost: losing.signal, release: async () => void steps.push("release") } as unknown as Journal;
    waiting.resolve(led);
    waiting = Promise.withResolvers();
    return losing;
  };
  terms = createTerms<Led>({
    journal: {
      lead(signal) {
        asked++;
        const { promise, reject } = waiting;
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        return promise;
      },
    },
    logger: { ...silentLogger, warn: (message, fields) => void warnings.push(`${message}: ${fields?.["reason"]}`) },
    async make() {
      if (fail !== undefined) throw fail;
      return {
        begin: () => void steps.push("begin"),
        end: async () => void steps.push("end"),
        abandon: async () => void steps.push("abandon"),
      };
    },
    pauseMs: 1,
  });
});
afterEach(() => terms.stop(0));

test("leads once elected, and lets others lead after its last delivery", async () => {
  terms.start();
  await until(() => asked === 1);
  expect(terms.leading).toBeUndefined();
  elect();
  await until(() => steps.length > 0);
  expect(terms.leading).toBeDefined();
  await terms.stop(1000);
  expect(terms.leading).toBeUndefined();
  expect(steps).toEqual(["begin", "end", "release"]);
  expect(asked).toBe(1);
});

test("a lost term is abandoned without a last write, and another one begins", async () => {
  terms.start();
  await until(() => asked === 1);
  elect().abort(new Error("the lease has run out"));
  await until(() => asked === 2);
  expect(steps.filter((step) => step !== "begin")).toEqual(["abandon"]);
  expect(warnings).toEqual([expect.stringContaining("the lease has run out")]);
  elect();
  await until(() => steps.at(-1) === "begin");
  await terms.stop(1000);
  expect(steps.slice(-3)).toEqual(["begin", "end", "release"]);
});

test("a term that cannot begin releases the journal and is retried", async () => {
  fail = new Error("no device can be read");
  terms.start();
  await until(() => asked === 1);
  elect();
  await until(() => asked === 2);
  expect(steps).toEqual(["release"]);
  expect(warnings).toEqual(["this instance cannot lead; trying again: no device can be read"]);
  fail = undefined;
  elect();
  await until(() => steps.at(-1) === "begin");
});

test("a stop ends the wait for leadership", async () => {
  terms.start();
  await until(() => asked === 1);
  await terms.stop(1000);
  expect(steps).toEqual([]);
});
