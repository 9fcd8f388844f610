/** Journal, ledger and pipeline in their own directory, put together as in an instance, with a clock the test controls. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { type Config, inspectConfig } from "../../src/config/index.ts";
import { type Logger, silentLogger } from "../../src/lib/logger.ts";
import type { Journal, NewMark, QuarantineLine } from "../../src/journal/index.ts";
import { openSqliteJournal } from "../../src/journal/sqlite/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { Counting } from "../../src/pipeline/counting.ts";
import { createPipeline, type Outcome, type Pipeline } from "../../src/pipeline/index.ts";
import { OpenQuarantine } from "../../src/pipeline/quarantine.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import type { Directory } from "../../src/processors/directory.ts";
import { type ProcessorSettings, processorSettingsOf } from "../../src/processors/settings.ts";
import { Identifier, keyWords } from "../../src/records/identity.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connection, flowValue } from "./records.ts";
import { until } from "./wait.ts";

const hourMs = 3_600_000;

export interface Store {
  readonly config: Config;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly counting: Counting;
  readonly pipeline: Pipeline;
  readonly settings: ProcessorSettings;
  readonly edges: EdgeBook;
  readonly ends: EndBook;
  /** Closes like a kill: what was neither committed nor folded is lost. */
  close(): void;
}

/** Parts a test observes or replaces. */
export interface StoreParts {
  readonly telemetry?: Telemetry;
  readonly logger?: Logger;
  /** The monotonic clock; by default the same as the other. */
  readonly steady?: () => number;
  readonly directory?: Directory | undefined;
}

/** Opens or creates the journal at `config.state.path` and waits for its ledger to catch up. */
export async function openStore(
  config: Config,
  clock: () => number = Date.now,
  parts: StoreParts = {},
): Promise<Store> {
  const store = newStore(config, clock, parts);
  await store.counting.catchUp();
  return store;
}

/** Creates the journal at `config.state.path`; its ledger has nothing to catch up with. */
export function newStore(config: Config, clock: () => number, parts: StoreParts = {}): Store {
  const { telemetry = silentTelemetry, logger = silentLogger, steady = clock } = parts;
  const journal = openSqliteJournal(config, { telemetry, logger, clock, steady });
  const settings = processorSettingsOf(config, journal.identity);
  settings.directory.current = parts.directory;
  const ledger = new Ledger(config, { journal, logger });
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ journal, ledger, settings, ...books, logger });
  if (journal.lastSeq === 0) void counting.catchUp();
  const committed = counting.committed.bind(counting);
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    committed,
    keepsText: () => false,
    telemetry,
  });
  return {
    config,
    journal,
    ledger,
    counting,
    pipeline,
    settings,
    ...books,
    close() {
      counting.close();
      journal.close();
    },
  };
}

/** The settings of a journal in that directory. `set`: further settings. */
export function configAt(path: string, set: readonly string[] = []): Config {
  return inspectConfig({
    environment: {},
    assignments: [`state.path=${path}`, "state.durability=normal", ...set],
    workingDirectory: path,
    system: { platform: "linux", homeDirectory: "/home/ann" },
  }).config;
}

export interface TestStore extends Store {
  now: number;
  remove(): void;
}

/** A new store in a directory that `remove` deletes. */
export function createStore(set: readonly string[] = []): TestStore {
  const parent = mkdtempSync(join(tmpdir(), "store-test-"));
  const clockAt = { now: Date.UTC(2026, 10, 2, 9, 15) };
  const store = newStore(configAt(join(parent, "state"), set), () => clockAt.now);
  return {
    ...store,
    get now() {
      return clockAt.now;
    },
    set now(at) {
      clockAt.now = at;
    },
    remove() {
      store.close();
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

/** Sends values as one stream batch, received at `receivedAt`. */
export async function take({ pipeline }: Store, values: readonly JsonObject[], receivedAt: number): Promise<Outcome> {
  const batch = pipeline.open({ source: "stream", receivedAt });
  for (const value of values) {
    const bytes = Buffer.from(JSON.stringify({ event: value }));
    if (batch.scan(bytes, 0, bytes.length) < 0) Array.from(batch.add(bytes, 0, bytes.length));
  }
  return batch.commit(100);
}

/** A distinct flow record for each number: one connection and one log record, identified by its port. */
export function numberedFlow(number: number): JsonObject {
  return flowValue({ nodeId: `n${number}CNTRL`, virtualTraffic: [connection({ dst: `100.64.1.2:${number}` })] });
}

/** An invalid record whose text is unique to the number. */
export function badFlow(number: number): JsonObject {
  return flowValue({ nodeId: `n${number}CNTRL`, virtualTraffic: [connection({ txBytes: -1 })] });
}

/** Rows of `recordsPerRow` records, spread evenly over the hours before `now`; records are numbered from 1. */
export async function fillHours(
  store: Store,
  { hours, rows, recordsPerRow, now }: { hours: number; rows: number; recordsPerRow: number; now: number },
): Promise<void> {
  for (let row = 0; row < rows; row++) {
    const values = Array.from({ length: recordsPerRow }, (_, place) => numberedFlow(row * recordsPerRow + place + 1));
    await take(store, values, now - hours * hourMs + Math.floor((row * hours * hourMs) / rows));
  }
}

/** A line quarantined by an earlier version of the program although this version accepts it. */
export function lineOf(members: Partial<QuarantineLine> = {}): QuarantineLine {
  return {
    type: "flow",
    reason: "decode_error",
    detail: "an earlier version could not read it",
    text: JSON.stringify({ event: numberedFlow(1) }),
    ...members,
  };
}

/** Stores lines as one row, quarantined or as samples. Returns their ids. */
export async function quarantine(
  { journal }: Store,
  partClass: "invalid" | "sample",
  lines: readonly QuarantineLine[],
): Promise<readonly string[]> {
  const { identitySecret, tailnet } = journal.identity;
  const identifier = new Identifier(identitySecret, tailnet);
  const open = new OpenQuarantine();
  for (const line of lines) {
    const key = new Uint32Array(keyWords);
    identifier.text(line.text, key, 0);
    open.add(Buffer.from(line.text), { ...line, class: partClass }, partClass === "invalid" ? key : undefined);
  }
  const receivedAt = Date.UTC(2026, 10, 2, 9, 15);
  const append = {
    source: "stream",
    receivedAt,
    bytes: 0,
    bytesOf: "unknown",
    parts: [],
    known: [],
    skipped: {},
  } as const;
  const { lastSeq } = await journal.append({ ...append, quarantine: open.seal() }, () => undefined);
  return lines.map((_, line) => `${lastSeq}.${line}`);
}

/** A mark on all records of the row `seq`, as the exporter creates it. */
export function markOf(seq: number, members: Partial<NewMark> = {}): NewMark {
  return {
    seq,
    from: 0,
    to: 1,
    why: "rejected",
    logRecords: 1,
    message: "the backend did not like it",
    at: Date.UTC(2026, 10, 2, 9, 15),
    ...members,
  };
}

/** Moves delivery past rows and marks their records as partly delivered or as dead letters. Resolves once it is committed. */
export async function markRows({ journal }: Store, marks: readonly NewMark[]): Promise<void> {
  const { cursor } = journal;
  const sums = { delivered: cursor.records.delivered, deadLettered: cursor.records.deadLettered };
  for (const { why, from, to } of marks) sums[why === "partial" ? "delivered" : "deadLettered"] += to - from;
  const seq = Math.max(cursor.seq, ...marks.map((mark) => mark.seq + 1));
  const before = await itemsOf(journal);
  journal.progress({ cursor: { ...cursor, seq, records: sums }, marks });
  await until(async () => (await itemsOf(journal)) >= before + marks.length);
}

async function itemsOf({ quarantine: items }: Journal): Promise<number> {
  return (await items.counts({})).reduce((sum, one) => sum + one.items, 0);
}
