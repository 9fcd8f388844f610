/** A store for tests that restart it and control its clocks, and batches built as the receivers build them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Config } from "../../src/config/schema.ts";
import type { Row } from "../../src/journal/index.ts";
import { type Conservation, conservationOf } from "../../src/pipeline/observe.ts";
import type { Batch, Outcome } from "../../src/pipeline/index.ts";
import { type Device, type Directory, directoryOf } from "../../src/processors/directory.ts";
import { parseIpv4 } from "../../src/records/address.ts";
import type { Source } from "../../src/records/types.ts";
import { configAt, newStore, openStore, type Store, type StoreParts } from "../support/store.ts";

export const hourMs = 3_600_000;

/** A record with this address cannot be measured with `failingDirectory`. */
export const badAddress = "100.64.9.9";

/** Fails like a bug in the program. */
export const failingDirectory: Directory = {
  ...directoryOf([]),
  byIpv4: new (class extends Map<number, Device> {
    override has(ipv4: number): boolean {
      if (ipv4 === parseIpv4(badAddress)) throw new Error("a bug of ours");
      return false;
    }
  })(),
};

export class Restarts {
  readonly config: Config;
  /** The wall clock, in epoch milliseconds. */
  now = Date.UTC(2026, 10, 2, 9, 15);
  /** The steady clock; follows the wall clock unless a test sets it. */
  steady: number | undefined;
  store: Store;
  readonly #parent = mkdtempSync(join(tmpdir(), "pipeline-test-"));

  constructor(set: readonly string[] = [], parts: StoreParts = {}) {
    this.config = configAt(join(this.#parent, "state"), set);
    this.store = newStore(this.config, ...this.#given(parts));
  }

  /** Stops without a final fold and starts again; `change` is called in between. */
  async restart(parts: StoreParts = {}, change?: () => void): Promise<Store> {
    this.store.close();
    change?.();
    return (this.store = await openStore(this.config, ...this.#given(parts)));
  }

  /** Runs statements on the closed database; each must change something. */
  changeDatabase(...statements: readonly string[]): void {
    const database = new DatabaseSync(join(this.config.state.path, "journal.db"));
    for (const sql of statements) expectChanged(database.prepare(sql).run().changes, sql);
    database.close();
  }

  remove(): void {
    this.store.close();
    rmSync(this.#parent, { recursive: true, force: true });
  }

  #given(parts: StoreParts): readonly [clock: () => number, parts: StoreParts] {
    return [() => this.now, { steady: () => this.steady ?? this.now, ...parts }];
  }
}

/** Sends values as one batch. */
export function send(
  { pipeline }: Store,
  values: readonly unknown[],
  { source = "stream" as Source, receivedAt = Date.UTC(2026, 10, 2, 9, 15) } = {},
): Promise<Outcome> {
  const batch = pipeline.open({ source, receivedAt });
  for (const value of values) addValue(batch, value);
  return batch.commit(1000);
}

/** Adds a value as a receiver does: scanned, or read if the scanner rejects it. */
export function addValue(batch: Batch, value: unknown): void {
  const bytes = Buffer.from(JSON.stringify(value));
  if (batch.scan(bytes, 0, bytes.length) < 0) for (const _ of batch.add(bytes, 0, bytes.length));
}

/** All rows, with their texts. */
export async function rowsOf({ journal }: Store): Promise<readonly Row[]> {
  const reader = journal.openReader();
  try {
    return await reader.read(1, { rows: 100_000, bytes: Number.MAX_SAFE_INTEGER });
  } finally {
    reader.close();
  }
}

/** Returns the terms of both sums. @throws {Error} if one does not hold. */
export function sumsOf({ journal, ledger }: Store): Conservation {
  const sums = conservationOf(journal, ledger);
  const { received, accepted, duplicate, skipped, quarantined } = sums;
  if (received !== accepted + duplicate + skipped + quarantined) throw new Error(`received: ${JSON.stringify(sums)}`);
  const { uncounted, delivered, pending, deadLettered, lost } = sums;
  if (accepted + uncounted !== delivered + pending + deadLettered + lost)
    throw new Error(`accepted: ${JSON.stringify(sums)}`);
  return sums;
}

function expectChanged(changes: number | bigint, sql: string): void {
  if (Number(changes) === 0) throw new Error(`nothing to change: ${sql}`);
}
