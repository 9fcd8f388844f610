/** A state directory as an instance leaves it: records that came in over hours, and some of every class that was set aside. */
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { type Journal, openJournal } from "../../src/journal/index.ts";
import type { QuarantineItem } from "../../src/journal/types.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline } from "../../src/pipeline/index.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connection, flowValue, unwrapped } from "./records.ts";

const hourMs = 3_600_000;

export function openState(path: string, clock: () => number = Date.now): Journal {
  const limit = { windowMs: 6 * hourMs, maxKeys: 100_000 };
  return openJournal(
    {
      path,
      maxBytes: 1e9,
      ballastBytes: 0,
      retentionMs: 24 * hourMs,
      durability: "normal",
      keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit },
    },
    { telemetry: silentTelemetry, logger: silentLogger, clock },
  );
}

/** Takes values in as one batch, received then; gives the outcome. */
export async function take(journal: Journal, values: readonly JsonObject[], receivedAt: number) {
  const draft = createPipeline(journal, { collapseExternal: true }).open({ source: "stream", receivedAt });
  for (const value of values) draft.add(unwrapped({ event: value }).records);
  return draft.commit(100);
}

/** A flow record of its own for each number: one connection, one log event, told apart by its port. */
export function numberedFlow(number: number): JsonObject {
  return flowValue({ nodeId: `n${number}CNTRL`, virtualTraffic: [connection({ dst: `100.64.1.2:${number}` })] });
}

/** A record that makes no sense, with text of its own. */
export function badFlow(number: number): JsonObject {
  return flowValue({ nodeId: `n${number}CNTRL`, virtualTraffic: [connection({ txBytes: -1 })] });
}

/** Rows of `recordsPerRow` records, spread evenly over the hours before `now`; the first has number 1. */
export async function fillHours(
  journal: Journal,
  { hours, rows, recordsPerRow, now }: { hours: number; rows: number; recordsPerRow: number; now: number },
): Promise<void> {
  for (let row = 0; row < rows; row++) {
    const values = Array.from({ length: recordsPerRow }, (_, place) => numberedFlow(row * recordsPerRow + place + 1));
    await take(journal, values, now - hours * hourMs + Math.floor((row * hours * hourMs) / rows));
  }
}

/** Sets items aside, as the export worker reports them. */
export function setAside(journal: Journal, items: readonly QuarantineItem[]): void {
  journal.progress({ cursor: journal.cursor, setAside: items });
  /** Runs the turn that writes them. */
  journal.writeSnapshot(journal.readSnapshot());
}

export function itemOf(members: Partial<QuarantineItem> = {}): QuarantineItem {
  return {
    class: "dead_letter",
    type: "flow",
    seq: 1,
    at: Date.UTC(2026, 10, 2, 9, 15),
    source: "stream",
    reason: "rejected",
    detail: "the backend did not like it",
    text: JSON.stringify({ event: numberedFlow(1) }),
    ...members,
  };
}
