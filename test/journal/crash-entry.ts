/** A short life of journal, pipeline and ledger in a process of its own, ended by SIGKILL at a given call to SQLite. Says each step it has come to. */
import { writeSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, StatementSync } from "node:sqlite";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { type Journal, type JournalOptions, openJournal } from "../../src/journal/index.ts";
import { Ledger, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline, incrementsOf } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import { auditValue, connection, enveloped, flowValue, unwrapped } from "../support/records.ts";

/** A step that is done when it is said. */
export type Said =
  | { readonly step: "accepted"; readonly bits: number }
  | { readonly step: "folded"; readonly view: LedgerView }
  | { readonly step: "delivered" | "maintained" | "closed" };

export const madeAt = Date.UTC(2026, 10, 2, 9, 15);
export const names = { collapseExternal: true };
export const ledgerOptions = { metricsMode: "rollup", rollupTopN: 5, metricLimit: 100, idleFolds: 1000 } as const;

/** Rows leave at once when they may, and so do the keys of quarantined texts; those of records stay. */
export function journalOptions(path: string): JournalOptions {
  const kept = { windowMs: 1e12, maxKeys: 1000 };
  const left = { windowMs: 0, maxKeys: 1000 };
  return {
    path,
    maxBytes: 2 ** 26,
    ballastBytes: 0,
    retentionMs: 0,
    durability: "normal",
    keyLimits: { flow: kept, audit: kept, webhook: kept, quarantined: left },
  };
}

/** Every flow's bytes are a power of two of its own: the sum says which of them it holds. */
export const batches: readonly (readonly number[])[] = [[0, 1, 2], [3, 4], [1, 5, 6, 7], [8]];
export const allBits = 2 ** 9 - 1;

export const bitsOf = (numbers: readonly number[]): number => numbers.reduce((bits, number) => bits | (1 << number), 0);

const flowOf = (number: number): unknown =>
  enveloped(
    flowValue({ nodeId: `n${number}CNTRL`, virtualTraffic: [connection({ txBytes: 2 ** number, rxBytes: 0 })] }),
  );

/** The call that is the last one, counted from 1, and on which side of it the end comes. */
function endAt(nth: number, side: string): void {
  let left = nth;
  const around = <Result>(call: () => Result): Result => {
    left--;
    if (left === 0 && side === "before") process.kill(process.pid, "SIGKILL");
    const result = call();
    if (left === 0) process.kill(process.pid, "SIGKILL");
    return result;
  };
  const { exec } = DatabaseSync.prototype;
  DatabaseSync.prototype.exec = function counted(sql) {
    return around(() => exec.call(this, sql));
  };
  const { run } = StatementSync.prototype;
  StatementSync.prototype.run = function counted(this: StatementSync, ...values: SQLInputValue[]) {
    return around(() => run.apply(this, values as Parameters<typeof run>));
  } as typeof run;
}

/** The whole life, from what an earlier one has left. */
export async function live(path: string, say: (said: Said) => void): Promise<void> {
  let now = madeAt;
  const journal = openJournal(journalOptions(path), {
    telemetry: silentTelemetry,
    logger: silentLogger,
    clock: () => now,
    steady: () => now,
  });
  const ledger = new Ledger(ledgerOptions, journal.identity.createdAt);
  recover(journal, ledger, names, silentLogger);
  journal.onCommitted((committed) => {
    for (const increments of [incrementsOf(committed)].flat()) ledger.add(increments);
  });
  const pipeline = createPipeline(journal, names);
  for (const [place, numbers] of batches.entries()) {
    const isDelivered = place === 2 && deliver(journal);
    const draft = pipeline.open({ source: "stream", receivedAt: now });
    const values = [...numbers.map(flowOf), enveloped(auditValue({ eventGroupID: `group-${place}` }))];
    if (place === 1) values.push(enveloped({ nodeId: "nBADCNTRL", virtualTraffic: [{ txBytes: -1 }] }));
    for (const value of values) draft.add(unwrapped(value).records);
    await draft.commit(100);
    say({ step: "accepted", bits: bitsOf(numbers) });
    if (isDelivered) say({ step: "delivered" });
    now += 1000;
    const view = ledger.fold(now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
    say({ step: "folded", view });
    if (place < 2) continue;
    journal.maintain();
    say({ step: "maintained" });
  }
  journal.close();
  say({ step: "closed" });
}

/** All that waits, but for one record, which is set aside. Committed with the next append. */
function deliver(journal: Journal): boolean {
  const { cursor, lastSeq, pendingRecords } = journal;
  if (pendingRecords === 0) return false;
  const { delivered, deadLettered } = cursor.records;
  const records = { delivered: delivered + pendingRecords - 1, deadLettered: deadLettered + 1 };
  journal.progress({
    cursor: { ...cursor, seq: lastSeq + 1, record: 0, event: 0, records },
    setAside: [
      {
        class: "dead_letter",
        type: "flow",
        seq: lastSeq,
        at: madeAt,
        source: "stream",
        reason: "rejected",
        detail: "",
        text: "{}",
      },
    ],
  });
  return true;
}

if (import.meta.main) {
  const [path = "", nth = "0", side = "before"] = process.argv.slice(2);
  if (nth !== "0") endAt(Number(nth), side);
  await live(path, (said) => writeSync(1, `${JSON.stringify(said)}\n`));
}
