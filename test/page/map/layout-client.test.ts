/** The page's side of the layout, tested with the real worker. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { TrafficPair } from "../../../src/admin/traffic/answers.ts";
import { buildGraph, type Graph } from "../../../src/page/map/graph.ts";
import { LayoutClient } from "../../../src/page/map/layout-client.ts";

const address = new URL("../../../src/page/map/layout-worker.ts", import.meta.url).href;

interface ScriptRules {
  createScriptURL(url: string): string;
}

const policies: [string, ScriptRules][] = [];
Object.assign(globalThis, {
  LAYOUT_WORKER: address,
  trustedTypes: {
    createPolicy(name: string, rules: ScriptRules) {
      policies.push([name, rules]);
      return rules;
    },
  },
});

type Report = { readonly type: "positions"; readonly count: number } | { readonly type: "outdated" };

let client: LayoutClient;
let reports: Report[];
let onReport: (() => void) | undefined;

beforeEach(() => {
  reports = [];
  const report = (one: Report): void => {
    reports.push(one);
    onReport?.();
  };
  client = new LayoutClient({
    onPositions: ({ length }) => report({ type: "positions", count: length / 2 }),
    onOutdated: () => report({ type: "outdated" }),
    onFailure: () => expect.unreachable("the worker runs here"),
  });
});

afterEach(() => client.close());

function next(): Promise<Report | undefined> {
  const { promise, resolve } = Promise.withResolvers<Report | undefined>();
  onReport = () => resolve(reports.at(-1));
  return promise;
}

function chain(count: number): Graph {
  const pairs = Array.from({ length: count - 1 }, (_, index): TrafficPair => {
    return { from: `n${index}`, to: `n${index + 1}`, entries: 1, txBytes: 1, rxBytes: 1, kinds: {} };
  });
  return buildGraph(pairs, []);
}

/** Requests positions until nothing moves, and returns the number of requests. */
async function settle(): Promise<number> {
  for (let times = 0; ; times++) {
    const answered = next();
    if (!client.ask("at once")) return times;
    await answered;
  }
}

test("gets positions until nothing moves, and requests none before there is a graph", async () => {
  expect(await settle()).toBe(0);
  client.show(chain(5), 1.5);
  expect(await settle()).toBe(1);
  expect(reports).toEqual([{ type: "positions", count: 5 }]);
});

test("positions are requested again if the graph changes in the meantime", async () => {
  client.show(chain(5), 1.5);
  const first = next();
  client.ask("animated");
  client.show(chain(8), 1.5);
  client.ask("animated");
  expect(await first).toEqual({ type: "outdated" });
  const second = next();
  client.ask("at once");
  expect(await second).toEqual({ type: "positions", count: 8 });
});

test("a node moved while the last positions are computed moves the others", async () => {
  client.show(chain(5), 1.5);
  const last = next();
  client.ask("at once");
  client.pin("n2", 300, 300);
  await last;
  expect(await settle()).toBe(1);
});

test("with Trusted Types, the policy passes the worker's address and nothing else", () => {
  const [[name, rules] = [], ...more] = policies;
  expect([name, more]).toEqual(["layout-worker", []]);
  expect(rules?.createScriptURL(address)).toBe(address);
  expect(() => rules?.createScriptURL("https://example.com/x.js")).toThrow(TypeError);
});
