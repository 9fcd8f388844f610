/** Tests the history by minute after damage: losses are rebuilt from the rows that are left, and nothing else changes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { kinds } from "../../src/ledger/minute.ts";
import type { Store } from "../support/store.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { connection, flowValue } from "../support/records.ts";
import { timeoutMs } from "../support/wait.ts";
import { historySums, minutesOf, rebuilt } from "./history.ts";
import { Restarts, send } from "./restarts.ts";

const minuteMs = 60_000;

let restarts: Restarts;
beforeEach(() => {
  restarts = new Restarts();
});
afterEach(() => restarts.remove());

let sent = 0;

/** Receives one record with one connection to the node of that number. */
async function receive(to: number, tx = 100): Promise<void> {
  const end = new Date(Date.UTC(2026, 10, 2, 9, 16) + ++sent * 100).toISOString();
  const value = flowValue({
    end,
    srcNode: { nodeId: "nONECNTRL", name: "laptop", addresses: ["100.64.1.1"] },
    dstNodes: [{ nodeId: `n${to}CNTRL`, name: `node-${to}`, addresses: [`100.64.2.${to % 250}`] }],
    virtualTraffic: [connection({ dst: `100.64.2.${to % 250}:443`, txBytes: tx, rxBytes: 0 })],
  });
  await send(restarts.store, [value], { receivedAt: restarts.now });
}

const fold = () => restarts.store.ledger.fold(restarts.now);
const countOf = async (store: Store) => Object.keys(await minutesOf(store)).length;

/** Receives three minutes of records, folded within each and at the end. */
async function threeMinutes(): Promise<ReturnType<typeof minutesOf>> {
  for (let n = 1; n <= 6; n++) {
    await receive(n);
    if (n % 3 === 1) await fold();
    restarts.now += minuteMs / 2;
  }
  await fold();
  return await minutesOf(restarts.store);
}

for (const [what, table] of [
  ["sums", "minute"],
  ["pairs", "minute_detail"],
] as const)
  test(`a minute whose ${what} are damaged is rebuilt alone`, async () => {
    const live = await threeMinutes();
    expect(Object.keys(live)).toHaveLength(3);
    const [, second] = Object.keys(live);
    const warnings: unknown[] = [];
    const logger = { ...silentLogger, warn: (message: string, fields?: object) => warnings.push([message, fields]) };
    await restarts.restart({ logger }, () =>
      restarts.changeDatabase(`UPDATE ${table} SET crc = crc + 1 WHERE at = ${second}`),
    );
    expect(await countOf(restarts.store)).toBe(2);
    expect(warnings).toEqual([
      [expect.stringContaining("minute of the history is damaged"), { minute: new Date(Number(second)).toISOString() }],
    ]);
    expect(restarts.store.ledger.minutes.gap).toMatchObject({ from: 1, until: 6, since: Number(second) });
    expect(await rebuilt(restarts.store)).toBe(2);
    expect(await minutesOf(restarts.store)).toEqual(live);
    await fold();
    expect(await minutesOf(await restarts.restart())).toEqual(live);
  });

test("a damaged minute that grows before it is rebuilt keeps what was added", async () => {
  await receive(1);
  await fold();
  await restarts.restart({}, () => restarts.changeDatabase("UPDATE minute SET totals = x'00'"));
  await receive(2);
  expect((await historySums(restarts.store)).entries).toBe(1);
  await rebuilt(restarts.store);
  await fold();
  expect(await historySums(await restarts.restart())).toMatchObject({ entries: 2, txBytes: 200 });
});

test("counters that begin anew after damage leave the minutes unchanged, except for the rows in between", async () => {
  await threeMinutes();
  await receive(7);
  const live = await minutesOf(restarts.store);
  await restarts.restart({}, () =>
    restarts.changeDatabase("UPDATE state SET value = x'00' WHERE name LIKE 'ledger/%'"),
  );
  expect(restarts.store.ledger.entries).toBe(0);
  expect(await rebuilt(restarts.store)).toBe(1);
  expect(await minutesOf(restarts.store)).toEqual(live);
});

test("a journal that is salvaged keeps the minutes that can be read", async () => {
  const live = await threeMinutes();
  const unreadable = "UPDATE state SET value = x'00' WHERE name = 'identity'";
  await restarts.restart({}, () => restarts.changeDatabase(unreadable));
  expect(await minutesOf(restarts.store)).toEqual(live);
  const [first] = Object.keys(live);
  await restarts.restart({}, () =>
    restarts.changeDatabase(unreadable, `UPDATE minute SET crc = crc + 1 WHERE at = ${first}`),
  );
  expect(await countOf(restarts.store)).toBe(2);
});

test(
  "a minute with too many pairs keeps the busiest by name, and its totals are exact",
  async () => {
    for (let n = 1; n <= 230; n++) {
      await receive(n, n);
      if (n % 100 === 0) await fold();
    }
    await fold();
    const store = await restarts.restart();
    const [minute] = Object.values(await minutesOf(store)) as {
      pairs: { to: string }[];
      omitted: number;
      totals: number[];
    }[];
    expect(minute?.pairs).toHaveLength(200);
    expect(minute?.pairs[0]?.to).toBe("node-230");
    expect(minute?.omitted).toBe(30);
    expect(minute?.totals[kinds.indexOf("virtual")]).toBe(230);
    expect((await historySums(store)).txBytes).toBe((230 * 231) / 2);
  },
  timeoutMs,
);

test("a failed snapshot loses nothing of the minutes", async () => {
  await receive(1);
  const { journal } = restarts.store;
  const { writeSnapshot } = journal;
  journal.writeSnapshot = () => {
    throw new Error("the disk is full");
  };
  await expect(fold()).rejects.toThrow("the disk is full");
  restarts.now += minuteMs;
  await receive(2);
  journal.writeSnapshot = writeSnapshot;
  await fold();
  expect(await historySums(await restarts.restart())).toMatchObject({ entries: 2, txBytes: 200 });
  expect(await countOf(restarts.store)).toBe(2);
});

test("what is received while the journal cannot be read is counted, and added to its minute later", async () => {
  await receive(1);
  await fold();
  const { journal } = await restarts.restart();
  const { minutes } = journal;
  const failing = () => {
    throw new Error("the disk fails");
  };
  const read = minutes.read.bind(minutes);
  minutes.read = failing;
  await receive(2);
  for (let n = 0; n < 6; n++) {
    restarts.now += minuteMs;
    await receive(3 + n);
  }
  expect(restarts.store.ledger.entries).toBe(8);
  await expect(fold()).rejects.toThrow("the disk fails");
  minutes.read = read;
  await fold();
  expect(restarts.store.ledger.entries).toBe(8);
  expect(await historySums(await restarts.restart())).toMatchObject({ entries: 8, txBytes: 800 });
  expect(await countOf(restarts.store)).toBe(7);
});
