/** Tests that minutes are brought up to date in steps, and that what arrives between steps is counted once. */
import { expect, test } from "bun:test";
import { setImmediate as afterOthers } from "node:timers/promises";
import { silentLogger } from "../../src/lib/logger.ts";
import { sumsPerEdge } from "../../src/ledger/interval.ts";
import { addRecords, auditPlace, noMinute } from "../../src/ledger/minute.ts";
import { Minutes } from "../../src/ledger/minutes.ts";
import { packMinute } from "../../src/ledger/packed-minute.ts";
import type { FlowSums } from "../../src/ledger/talkers.ts";
import { SnapshotJournal } from "./support.ts";

const edges = 20_000;
const minuteMs = 60_000;

/** Edges between 100 nodes; `add` counts an entry of one byte on each. */
function interval(length = edges) {
  const sums = new Float64Array(length * sumsPerEdge);
  const pairs = Array.from({ length: 100 }, (_, number) => {
    const [source, destination] = [`from${number}`, `to${number}`];
    return { key: `${source} ${destination}`, source, destination, identity: undefined };
  });
  const seen = Array.from({ length }, (_, edge) => ({
    edge,
    pair: pairs[edge % 100] as (typeof pairs)[number],
    class: { transport: "tcp", traffic: "virtual" } as const,
  }));
  const add = (): void => {
    for (let at = 0; at < sums.length; at += sumsPerEdge)
      for (const place of [at, at + 1]) sums[place] = (sums[place] as number) + 1;
  };
  return { flows: { seen, sums } as FlowSums, add };
}

function minutesOf(flows: FlowSums): Minutes {
  const minutes = new Minutes(new SnapshotJournal(), silentLogger, 0, () => flows);
  minutes.begin(0);
  return minutes;
}

/** Entries and sent bytes of each minute: totals, then the sums over its pairs. */
async function sumsOf(minutes: Minutes) {
  const sums: number[][] = [];
  for await (const [at, addTo] of minutes.read(0, 3 * minuteMs)) {
    const into = noMinute();
    expect(await addTo(into)).toBe(true);
    const ofPairs = [0, 1].map((place) => into.pairs.values().reduce((sum, pair) => sum + (pair.sums[place] ?? 0), 0));
    sums.push([at / minuteMs, into.totals[0] as number, into.totals[1] as number, ...ofPairs]);
  }
  return sums;
}

test("other work runs between the steps", async () => {
  const { flows, add } = interval();
  add();
  let turns = 0;
  const over = new AbortController();
  const settling = minutesOf(flows)
    .settleInSteps()
    .finally(() => over.abort());
  while (!over.signal.aborted) {
    await afterOthers();
    turns++;
  }
  await settling;
  expect(turns).toBeGreaterThanOrEqual(4);
});

test("the steps leave nothing unsettled but what arrives between them", async () => {
  const { flows, add } = interval();
  const minutes = minutesOf(flows);
  add();
  await minutes.settleInSteps();
  expect(minutes.counted[0]).toBe(edges);
  add();
  const settling = minutes.settleInSteps();
  add();
  await settling;
  minutes.settle();
  expect(await sumsOf(minutes)).toEqual([[0, 3 * edges, 3 * edges, 3 * edges, 3 * edges]]);
});

test("a minute that ends between two steps includes what was counted before, and the next one the rest", async () => {
  const { flows, add } = interval();
  const minutes = minutesOf(flows);
  add();
  const settling = minutes.settleInSteps();
  minutes.begin(minuteMs);
  add();
  await settling;
  minutes.settle();
  expect(await sumsOf(minutes)).toEqual([
    [0, edges, edges, edges, edges],
    [1, edges, edges, edges, edges],
  ]);
});

test("what arrives while changes are being stored is in the next changes, which are empty once all is stored", () => {
  const minutes = minutesOf({ seen: [], sums: new Float64Array(0) });
  const changed = () => minutes.changes().changed.map(({ at }) => at);
  minutes.count("audit", 1);
  const first = minutes.changes();
  expect(first.changed).toHaveLength(1);
  minutes.count("audit", 2);
  minutes.stored(first, 1);
  expect(changed()).toEqual([0]);
  minutes.stored(minutes.changes(), 2);
  expect(changed()).toEqual([]);
});

test("a few minutes are open at once: the least recently used are closed, and completed from storage", async () => {
  const journal = new SnapshotJournal();
  const read: number[] = [];
  journal.minutes.read = (at) => void read.push(at / minuteMs);
  const minutes = new Minutes(journal, silentLogger, 0, () => ({ seen: [], sums: new Float64Array(0) }));
  for (let minute = 0; minute < 7; minute++) {
    minutes.begin(minute * minuteMs);
    minutes.count("audit", 1);
    await afterOthers();
  }
  expect(read).toEqual([0, 1, 2]);
  expect(minutes.changes().changed.map(({ at }) => at / minuteMs)).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("what a new interval has counted is added in full, even if its arrays are as large as the previous ones", async () => {
  const [first, second] = [interval(), interval()];
  let open = first;
  const minutes = new Minutes(new SnapshotJournal(), silentLogger, 0, () => open.flows);
  minutes.begin(0);
  for (const one of [first, second]) {
    open = one;
    one.add();
    minutes.settle();
  }
  expect(await sumsOf(minutes)).toEqual([[0, 2 * edges, 2 * edges, 2 * edges, 2 * edges]]);
});

test("what is stored of a minute is added once, even if two callers need it at the same time", async () => {
  const journal = new SnapshotJournal();
  const stored = noMinute();
  addRecords(stored, "audit", 2);
  journal.minutes.read = () => packMinute(0, stored);
  const minutes = new Minutes(journal, silentLogger, 0, () => ({ seen: [], sums: new Float64Array(0) }));
  minutes.begin(0);
  minutes.count("audit", 1);
  await Promise.all([minutes.complete(), minutes.complete()]);
  for await (const [, totals] of minutes.totals(0, minuteMs)) expect(totals[auditPlace]).toBe(3);
  expect(minutes.isIncomplete).toBe(false);
});

test("the first of more than 2,000 closed minutes that cannot be stored keep only their totals", async () => {
  const { flows, add } = interval(1);
  const minutes = minutesOf(flows);
  for (let minute = 0; minute < 2004; minute++) {
    // Four open ones are in addition to the closed ones.
    expect(minutes.hasRoom).toBe(true);
    minutes.begin(minute * minuteMs);
    add();
    minutes.settle();
    await afterOthers();
  }
  expect(minutes.hasRoom).toBe(false);
  expect(await sumsOf(minutes)).toEqual([0, 1, 2].map((minute) => [minute, 1, 1, 1, 1]));
  for (const minute of [2004, 2005]) {
    minutes.begin(minute * minuteMs);
    add();
    minutes.settle();
    await afterOthers();
  }
  expect(await sumsOf(minutes)).toEqual([
    [0, 1, 1, 0, 0],
    [1, 1, 1, 0, 0],
    [2, 1, 1, 1, 1],
  ]);
});
