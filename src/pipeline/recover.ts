/** Recovery at start: the last snapshot, and then what came after it, measured again from the journal. */
import { count, noIncrements } from "../catalogue/increments.ts";
import type { Journal } from "../journal/index.ts";
import type { JournalRow, QuarantineItem } from "../journal/types.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Logger } from "../lib/logger.ts";
import type { NameOptions } from "../processors/names.ts";
import { incrementsOfDamagedRow, incrementsOfRow } from "./count.ts";

/** Rows held in memory at a time. */
const atOnce = { rows: 256, bytes: 8 * 1024 * 1024 };

/** Records that do not measure are said and kept up to this many; after an error of ours it may be all of them. */
const maxNoted = 100;

/** What recovery did, for the log. */
export interface Recovery {
  readonly rows: number;
  /** Records that no longer measure: left out of the counters of what they hold, delivered all the same. */
  readonly unmeasured: number;
  /** Rows that could not be read. */
  readonly damaged: number;
}

/** Brings the ledger to the last committed row. Before anything is accepted or folded. */
export function recover(journal: Journal, ledger: Ledger, names: NameOptions, logger: Logger): Recovery {
  const snapshot = journal.readSnapshot();
  ledger.restore(snapshot, logger);
  const reader = journal.openReader();
  let seq = snapshot.measuredSeq + 1;
  let rows = 0;
  let unmeasured = 0;
  let damaged = 0;
  const notes: QuarantineItem[] = [];
  const missed = (row: JournalRow) => (line: string, reason: string) => {
    if (unmeasured++ >= maxNoted) return;
    notes.push(noteOf(row, line, reason));
    logger.warn("a record does not measure and is left out of the counters", { row: row.seq, reason });
  };
  try {
    while (seq <= journal.lastSeq) {
      const stretch = reader.read(seq, atOnce);
      if (stretch.length === 0) break;
      for (const row of stretch) {
        seq = row.seq + 1;
        rows++;
        if (row.damage === undefined) ledger.add(incrementsOfRow(row, names, missed(row)));
        else {
          damaged++;
          ledger.add(incrementsOfDamagedRow(row));
          logger.error("a row of the journal cannot be read: its records are counted, what they hold is not", {
            row: row.seq,
            records: row.records,
            reason: row.damage,
          });
        }
      }
    }
  } finally {
    reader.close();
  }
  const counted = noIncrements();
  count(counted, "tailscale2otel.quarantine.records", { class: "note", reason: "unmeasured" }, unmeasured);
  ledger.add(counted);
  if (notes.length > 0) journal.progress({ cursor: journal.cursor, setAside: notes });
  settle(journal, ledger, logger);
  return { rows, unmeasured, damaged };
}

/** A kill before the next fold has it noted once more; it is counted once. */
function noteOf({ seq, type, source, acceptedAt }: JournalRow, line: string, reason: string): QuarantineItem {
  return {
    class: "note",
    type: type ?? "unknown",
    seq,
    at: acceptedAt,
    source,
    reason: "unmeasured",
    detail: `accepted and delivered, but not in the counters: ${reason}`,
    text: line,
  };
}

/** After damage, what is counted and what is here differ once; from then on the sums hold again. */
function settle(journal: Journal, ledger: Ledger, logger: Logger): void {
  const before = journal.loss;
  journal.settleLoss(ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" }));
  const lost = journal.loss.records - before.records;
  const uncounted = journal.loss.uncounted - before.uncounted;
  if (lost > 0)
    logger.error("accepted records are lost, or it is not known that they were delivered", { records: lost });
  if (uncounted > 0)
    logger.warn("records are delivered or waiting that the counters do not know", { records: uncounted });
}
