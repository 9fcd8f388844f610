/** Journals in directories of their own, with a clock that the test holds, and batches to append. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Increments } from "../../src/catalogue/increments.ts";
import { count, noIncrements } from "../../src/catalogue/increments.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { type Journal, type JournalOptions, openJournal } from "../../src/journal/index.ts";
import { pack, unpackText } from "../../src/journal/pack.ts";
import type { Append, AppendPart } from "../../src/journal/types.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import type { SeenKey } from "../../src/records/identity.ts";

export const mebibyte = 1024 * 1024;
export const hourMs = 3_600_000;

/** A directory that goes with `remove`, journals opened in it, and what they measured. */
export interface TestState {
  readonly path: string;
  now: number;
  /** The steady clock, where it does not go with `now`. */
  steady: number | undefined;
  /** Transactions of appends, counted by their duration's measurement. */
  transactions: number;
  readonly warnings: string[];
  open(options?: Partial<JournalOptions>): Journal;
  /** Closes what was opened, and deletes. */
  remove(): void;
}

export function createState(): TestState {
  const parent = mkdtempSync(join(tmpdir(), "journal-test-"));
  const opened: Journal[] = [];
  const state: TestState = {
    path: join(parent, "state"),
    now: Date.UTC(2026, 10, 2, 9, 15),
    steady: undefined,
    transactions: 0,
    warnings: [],
    open(options = {}) {
      const limit = { windowMs: 6 * hourMs, maxKeys: 100_000 };
      const journal = openJournal(
        {
          path: state.path,
          maxBytes: 256 * mebibyte,
          ballastBytes: 0,
          retentionMs: hourMs,
          durability: "normal",
          keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit },
          ...options,
        },
        {
          telemetry: {
            ...silentTelemetry,
            record(metric) {
              if (metric === "tailscale2otel.journal.commit.duration") state.transactions++;
            },
          },
          logger: { ...silentLogger, warn: (message) => state.warnings.push(message) },
          clock: () => state.now,
          steady: () => state.steady ?? state.now,
        },
      );
      opened.push(journal);
      return journal;
    },
    remove() {
      for (const journal of opened) journal.close();
      rmSync(parent, { recursive: true, force: true });
    },
  };
  return state;
}

/** A key of its own for each number; the same number is the same record. */
export function keyOf(number: number, check = 0): SeenKey {
  return { high: Math.imul(number, 0x9e3779b1) >>> 0, low: number, check, at: Date.UTC(2026, 10, 2, 9, 15) };
}

/** Flow records numbered so, each a line `{"event":{"n":…}}` and one count; `padding` makes lines larger. */
export function partOfNumbers(
  numbers: readonly number[],
  padding = "",
  keys = numbers.map((n) => keyOf(n)),
): AppendPart {
  return {
    type: "flow",
    records: numbers.length,
    body: pack(numbers.map((n) => JSON.stringify({ event: { n, padding } })).join("\n")),
    keys,
    increments: countOf(numbers.length),
    futureTimes: 0,
    without: (places) =>
      partOfNumbers(
        numbers.filter((_, place) => !places.has(place)),
        padding,
        keys.filter((_, place) => !places.has(place)),
      ),
  };
}

/** A batch of such parts from the stream; members given replace its own. */
export function appendOf(parts: readonly AppendPart[], members: Partial<Append> = {}): Append {
  return {
    source: "stream",
    receivedAt: Date.UTC(2026, 10, 2, 9, 15),
    bytes: 100,
    bytesOf: "flow",
    parts,
    known: [],
    skipped: {},
    invalid: [],
    samples: [],
    ...members,
  };
}

/** The numbers of all records that a reader finds, in order. */
export function storedNumbers(journal: Journal): number[] {
  const reader = journal.openReader();
  try {
    return reader
      .read(1, { rows: 100_000, bytes: Number.MAX_SAFE_INTEGER })
      .flatMap(({ text }) => (text === "" ? [] : text.split("\n")))
      .map((line) => (JSON.parse(line) as { event: { n: number } }).event.n);
  } finally {
    reader.close();
  }
}

/** The text of a part. */
export function textOf(part: AppendPart): string {
  return unpackText(part.body);
}

function countOf(records: number): Increments {
  const increments = noIncrements();
  count(increments, "tailscale.stream.records", { type: "flow" }, records);
  return increments;
}
