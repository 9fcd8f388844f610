/** The process ends before or after each single call to SQLite, from the first opening to the last close: nothing is lost or counted twice. */
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { metrics } from "../../src/catalogue/metrics.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { openJournal } from "../../src/journal/index.ts";
import { Ledger, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { conservationOf } from "../../src/pipeline/conservation.ts";
import { recover } from "../../src/pipeline/recover.ts";
import {
  allBits,
  batches,
  bitsOf,
  journalOptions,
  ledgerOptions,
  live,
  madeAt,
  names,
  type Said,
} from "./crash-entry.ts";

const entry = new URL("./crash-entry.ts", import.meta.url).pathname;

interface Life {
  readonly said: readonly Said[];
  readonly wasKilled: boolean;
}

function liveElsewhere(path: string, nth: number, side: string): Promise<Life> {
  const child = spawn(process.execPath, [entry, path, String(nth), side], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const said = text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Said]));
      if (code === 0 || signal === "SIGKILL") resolve({ said, wasKilled: signal === "SIGKILL" });
      else reject(new Error(`it ended with ${code ?? signal}`));
    });
  });
}

/** The bits of all flows that the view has counted, if the sum is of whole records at all. */
function bitsIn(view: LedgerView): number {
  const sums = view.metrics.find(({ name }) => name === "tailscale.network.io.rollup")?.series ?? [];
  return sums.reduce((sum, { value }) => sum + value, 0);
}

/** What a fresh start finds: its first fold. */
function recovered(path: string): LedgerView {
  const journal = openJournal(journalOptions(path), {
    telemetry: silentTelemetry,
    logger: { ...silentLogger, error: (message, fields) => expect.unreachable(`${message} ${JSON.stringify(fields)}`) },
    clock: () => madeAt,
  });
  try {
    const ledger = new Ledger(ledgerOptions, journal.identity.createdAt);
    recover(journal, ledger, names, silentLogger);
    const sum = conservationOf(journal, ledger);
    expect(sum.accepted + sum.duplicate + sum.skipped + sum.quarantined).toBe(sum.received);
    expect(sum.delivered + sum.pending + sum.deadLettered).toBe(sum.accepted);
    expect(deadLetters(journal.databasePath)).toBe(sum.deadLettered);
    return ledger.fold(madeAt, journal.lastSeq, () => undefined);
  } finally {
    journal.close();
  }
}

function deadLetters(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  const row = database.prepare("SELECT COUNT(*) AS letters FROM quarantine WHERE class = 'dead_letter'").get();
  database.close();
  return (row as { letters: number }).letters;
}

/** What was shown is found again: no counter is gone, begins anew or goes back. */
function expectContinued(before: LedgerView, after: LedgerView): void {
  expect(after.at).toBeGreaterThan(before.at);
  for (const { name, series } of before.metrics.filter((metric) => metrics[metric.name].kind === "counter")) {
    const later = after.metrics.find((metric) => metric.name === name)?.series ?? [];
    for (const { attributes, value, startAt } of series) {
      const same = later.find((one) => Bun.deepEquals(one.attributes, attributes));
      expect([name, attributes, same?.startAt]).toEqual([name, attributes, startAt]);
      expect(same?.value).toBeGreaterThanOrEqual(value);
    }
  }
}

async function check(path: string, nth: number, side: string): Promise<Life> {
  const life = await liveElsewhere(path, nth, side);
  const view = recovered(path);
  const bits = bitsIn(view);
  for (const said of life.said) {
    if (said.step === "accepted") expect(bits & said.bits).toBe(said.bits);
    if (said.step === "folded") expectContinued(said.view, view);
  }
  const whole = batches.map(bitsOf).filter((batch) => (bits & batch) === batch);
  expect(bits).toBe(whole.reduce((union, batch) => union | batch, 0));
  await live(path, () => {});
  expect(bitsIn(recovered(path))).toBe(allBits);
  return life;
}

test.each(["before", "after"])(
  "an end %s any call leaves whole batches, each counted once",
  async (side) => {
    const parent = mkdtempSync(join(tmpdir(), "crash-test-"));
    const steps = new Set<string>();
    try {
      let nth = 0;
      const walk = async (): Promise<void> => {
        while (true) {
          const mine = ++nth;
          const { said, wasKilled } = await check(join(parent, String(mine)), mine, side);
          if (!wasKilled) return;
          steps.add(said.at(-1)?.step ?? "nothing");
        }
      };
      await Promise.all([walk(), walk()]);
      expect(nth).toBeGreaterThan(60);
      expect([...steps].toSorted()).toEqual(["accepted", "delivered", "folded", "maintained", "nothing"]);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  },
  120_000,
);
