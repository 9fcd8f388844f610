/** Tests the top talkers: a flow reported by both ends counts once, and traffic around the tunnel does not count. */
import { expect, test } from "bun:test";
import type { FlowClass } from "../../src/catalogue/increments.ts";
import { entriesOf, type FlowSums, reportsOf, topTalkers } from "../../src/ledger/talkers.ts";
import { sumsPerEdge } from "../../src/ledger/interval.ts";

interface Flow {
  readonly source?: string;
  readonly destination?: string;
  readonly bytes: number;
  readonly traffic?: FlowClass["traffic"];
}

/** One edge per flow; half of its bytes are sent, half received. */
function interval(...flows: readonly Flow[]): FlowSums {
  const sums = new Float64Array(flows.length * sumsPerEdge);
  const seen = flows.map(({ source, destination, bytes, traffic = "virtual" }, edge) => {
    sums.set([2, bytes / 2, bytes / 2], edge * sumsPerEdge);
    const pair = { key: `${source} ${destination}`, source, destination, identity: undefined };
    return { edge, pair, class: { transport: "tcp", traffic } as FlowClass };
  });
  return { seen, sums };
}

const none = reportsOf(interval());

const flow = (source: string, destination: string, bytes: number): Flow => ({ source, destination, bytes });

test("a pair reported by both ends is shown once, with the larger report", () => {
  const flows = interval(flow("web", "db", 100), flow("web", "db", 20), flow("db", "web", 90));
  expect(topTalkers(none, reportsOf(flows), 5)).toEqual([{ from: "web", to: "db", bytes: 120 }]);
});

test("equal reports from both ends are shown once", () => {
  const reports = reportsOf(interval(flow("web", "db", 100), flow("db", "web", 100)));
  expect(topTalkers(none, reports, 5)).toHaveLength(1);
});

test("two intervals are summed", () => {
  const ended = interval(flow("web", "db", 100), flow("c", "d", 3));
  const open = interval(flow("a", "b", 7), flow("web", "db", 20));
  expect(topTalkers(reportsOf(ended), reportsOf(open), 5)).toEqual([
    { from: "web", to: "db", bytes: 120 },
    { from: "a", to: "b", bytes: 7 },
    { from: "c", to: "d", bytes: 3 },
  ]);
  expect([ended, open].map(entriesOf)).toEqual([4, 4]);
});

test("physical traffic, the folded rest and flows without both names are left out", () => {
  const flows = interval({ ...flow("a", "b", 5), traffic: "physical" }, flow("__other__", "__other__", 9), {
    source: "web",
    bytes: 7,
  });
  expect(topTalkers(none, reportsOf(flows), 5)).toEqual([]);
});

test("the largest come first, up to the requested number", () => {
  const reports = reportsOf(interval(flow("a", "b", 1), flow("c", "d", 3), flow("e", "f", 2)));
  const talkers = topTalkers(none, reports, 2);
  expect(talkers.map(({ from }) => from)).toEqual(["c", "e"]);
});
