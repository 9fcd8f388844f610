import { expect, test } from "bun:test";
import type { FailureCause } from "../../src/export/answer.ts";
import type { Posted } from "../../src/export/requests.ts";
import { type Backend, hour, minute, randomOf, refused, Simulation, start, taken } from "./simulation.ts";

const cases = Number(process.env["DELIVERY_CASES"] ?? 300);
const causes: readonly FailureCause[] = ["unreachable", "timeout", "reset", "server", "throttled", "denied"];

/** The faults of one case: windows in which all requests fail or are refused, bad log records, limits, and random failures. */
interface Weather {
  readonly fail: readonly { readonly from: number; readonly to: number; readonly posted: Posted }[];
  readonly isBad: (id: number) => boolean;
  readonly maxTaken: number;
  readonly flakiness: number;
  readonly partialEvery: number;
  readonly latencyMs: number;
}

const pick = <T>(from: readonly T[], random: () => number): T => from[Math.floor(random() * from.length)] as T;

function weatherOf(random: () => number, logs: number): Weather {
  const fail = Array.from({ length: Math.floor(random() * 4) }, () => {
    const from = start + random() * hour;
    const cause = pick(causes, random);
    const posted: Posted = random() < 0.4 ? refused : { kind: "failed", cause, why: cause };
    return { from, to: from + random() * 30 * minute, posted };
  });
  const runFrom = Math.floor(random() * logs);
  const runLength = Math.floor(random() * logs * 0.3);
  const inRun = (id: number) => id >= runFrom && id < runFrom + runLength;
  const salt = Math.floor(random() * 1000);
  const every = pick([3, 10, 50], random);
  const scattered = (id: number) => (Math.imul(id + salt, 2_654_435_761) >>> 8) % every === 0;
  const isBad = pick([() => false, (id: number) => id === runFrom, inRun, scattered], random);
  return {
    fail,
    isBad,
    maxTaken: pick([Number.POSITIVE_INFINITY, 3, 40], random),
    flakiness: pick([0, 0, 0.1, 0.3], random),
    partialEvery: pick([0, 0, 7], random),
    latencyMs: pick([1, 50, 1_000], random),
  };
}

function backendOf({ fail, isBad, maxTaken, flakiness, partialEvery }: Weather): Backend {
  let answers = 0;
  return (logs, now, random) => {
    const window = fail.find(({ from, to }) => now >= from && now < to);
    if (window !== undefined) return window.posted;
    if (random() < flakiness) return { kind: "failed", cause: pick(causes, random), why: "a whim" };
    if (logs.length > maxTaken)
      return random() < 0.5 ? { kind: "unsent", message: "over the size" } : { ...refused, status: 413 };
    if (logs.some(({ id }) => isBad(id))) return refused;
    if (partialEvery > 0 && ++answers % partialEvery === 0)
      return { kind: "accepted", partial: { rejected: 1 + Math.floor(random() * logs.length), message: "some" } };
    return taken;
  };
}

/** Must hold at every moment: everything before the cursor was accepted, is marked, or could not be described. */
function check(simulation: Simulation, seed: number): void {
  const { cursor, rows, marks } = simulation;
  const isTaken = new Set(simulation.taken);
  const dead = new Set<string>();
  const sums = { records: 0, logRecords: 0, rejected: 0 };
  for (const { seq, from, to, why, logRecords } of marks) {
    if (why === "partial") {
      sums.rejected += logRecords;
      continue;
    }
    sums.records += to - from;
    sums.logRecords += logRecords;
    for (let record = from; record < to; record++) {
      expect(dead.has(`${seq}.${record}`), `seed ${seed}: marked twice`).toBe(false);
      dead.add(`${seq}.${record}`);
    }
  }
  let records = 0;
  let logRecords = 0;
  for (const row of rows) {
    for (let record = 0; record < row.records; record++) {
      const isBefore = row.seq < cursor.seq || (row.seq === cursor.seq && record < cursor.record);
      const inside = row.seq === cursor.seq && record === cursor.record ? cursor.logRecord : 0;
      const logs = row.logs.slice(row.firstLogRecord(record), row.firstLogRecord(record + 1));
      const passed = isBefore ? logs : logs.slice(0, inside);
      if (isBefore) records++;
      logRecords += passed.length;
      if (isBefore && row.defectOf(record) !== undefined) expect(dead.has(`${row.seq}.${record}`)).toBe(true);
      for (const { id } of passed)
        expect(isTaken.has(id) || dead.has(`${row.seq}.${record}`), `seed ${seed}: ${id} is lost`).toBe(true);
    }
  }
  expect(cursor.records.delivered + cursor.records.deadLettered).toBe(records);
  const { delivered, rejected, deadLettered } = cursor.logRecords;
  expect(delivered + rejected + deadLettered).toBe(logRecords);
  expect({ records: cursor.records.deadLettered, logRecords: deadLettered, rejected }).toEqual(sums);
}

/** Number of records that were given up although none of their log records is bad. */
function goodDead({ marks, rows }: Simulation, isBad: (id: number) => boolean): number {
  let records = 0;
  for (const { why, seq, from, to } of marks) {
    const row = rows[seq - 1];
    if (why === "partial" || why === "internal" || row === undefined) continue;
    for (let record = from; record < to; record++) {
      const logs = row.logs.slice(row.firstLogRecord(record), row.firstLogRecord(record + 1));
      if (!logs.some(({ id }) => isBad(id))) records++;
    }
  }
  return records;
}

test("loses nothing, invents nothing and counts everything once, whatever the backend does and whenever it is killed", async () => {
  const first = Number(process.env["DELIVERY_FIRST_CASE"] ?? 1);
  let wronglyDead = 0;
  for (let seed = first; seed < first + cases; seed++) {
    const random = randomOf(seed * 7919);
    const planned = Math.floor(random() * 3_000);
    const drawn = weatherOf(random, planned);
    let lastBad = Number.POSITIVE_INFINITY;
    const weather: Weather = { ...drawn, isBad: (id) => id < lastBad && drawn.isBad(id) };
    const simulation = new Simulation({
      seed,
      backend: backendOf(weather),
      empty: (now) => weather.fail.find(({ from, to }) => now >= from && now < to)?.posted ?? taken,
      maxLogRecords: pick([1, 5, 100, 512], random),
      concurrency: pick([1, 4], random),
      latencyMs: (some) => weather.latencyMs * (0.5 + some()),
      ...(seed % 3 === 0 && { readMs: weather.latencyMs / 10 }),
    });
    const fill = (logs: number): void => {
      for (let made = 0; made < logs;) {
        const row: (number[] | string)[] = [];
        for (let records = Math.floor(random() * 20); records >= 0; records--) {
          const size = random() < 0.1 ? 0 : 1 + Math.floor(random() ** 4 * 40);
          if (random() < 0.01) row.push("it cannot be described");
          else row.push(Array.from({ length: size }, () => simulation.now - random() * minute));
          made += size + 1;
        }
        simulation.commit(random() < 0.1 ? [] : row);
      }
    };
    fill(planned / 2);
    for (let left = 0; left < 10; left++) simulation.at(start + random() * 2 * hour, () => fill(planned / 20));
    for (let kills = Math.floor(random() * 6); kills > 0; kills--)
      simulation.at(start + random() ** 2 * 2 * hour, () => {
        check(simulation, seed);
        simulation.restart();
      });
    simulation.start();
    await simulation.until(() => false, start + 2 * hour);
    check(simulation, seed);
    lastBad = simulation.logs;
    for (let minutes = 0; minutes < 240; minutes++)
      simulation.at(start + 2 * hour + minutes * 2 * minute, () => simulation.commit([[simulation.now]]));
    const isDrained = await simulation.until(
      () => simulation.cursor.seq > simulation.rows.length - 2,
      start + 10 * hour,
    );
    check(simulation, seed);
    expect(isDrained, `seed ${seed}`).toBe(true);
    wronglyDead += weather.flakiness > 0 ? 0 : goodDead(simulation, weather.isBad);
  }
  // Between two windows in which everything is refused, a refusal of the first can seem to be confirmed in the second.
  expect(wronglyDead).toBeLessThanOrEqual(cases / 500);
}, 300_000);
