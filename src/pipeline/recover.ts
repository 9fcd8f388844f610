/** Recovery at start: the last snapshot, and then what came after it, measured again from the journal. */
import type { Journal } from "../journal/index.ts";
import type { JournalRow } from "../journal/types.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Logger } from "../lib/logger.ts";
import type { NameOptions } from "../processors/names.ts";
import { incrementsOfRow } from "./count.ts";

/** Rows held in memory at a time. */
const atOnce = { rows: 256, bytes: 8 * 1024 * 1024 };

/** What recovery did, for the log. */
export interface Recovery {
  readonly rows: number;
  /** Records that no longer measure: counted nowhere, delivered all the same. */
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
  const missed = (row: JournalRow) => (_line: string, reason: string) => {
    unmeasured++;
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
          logger.error("a row of the journal cannot be read and is left out of the counters", {
            row: row.seq,
            reason: row.damage,
          });
        }
      }
    }
  } finally {
    reader.close();
  }
  return { rows, unmeasured, damaged };
}
