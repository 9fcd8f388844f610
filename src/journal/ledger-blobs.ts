/** The ledger's snapshot on disk: a blob a metric, and beside them how far it has measured, checked like them. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Logger } from "../lib/logger.ts";
import { DamagedBlob, pack, unpackText } from "./pack.ts";
import type { LedgerSnapshot } from "./types.ts";

/** The blob that is no metric's: the last row that is measured. */
export const measuredMetric = "";

export class LedgerBlobs {
  readonly #all: StatementSync;
  readonly #write: StatementSync;

  constructor(database: DatabaseSync) {
    this.#all = database.prepare("SELECT metric, packed FROM ledger");
    this.#write = database.prepare(
      "INSERT INTO ledger (metric, packed) VALUES (?, ?) ON CONFLICT (metric) DO UPDATE SET packed = excluded.packed",
    );
  }

  /** Writes inside the caller's transaction. Metrics not named keep their blob. */
  write({ measuredSeq, blobs }: LedgerSnapshot): void {
    for (const [metric, text] of blobs) this.#write.run(metric, pack(text));
    this.#write.run(measuredMetric, pack(String(measuredSeq)));
  }

  /** Whether the last snapshot is what was written. */
  isSound(logger: Logger): boolean {
    try {
      this.read();
      return true;
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error;
      logger.warn("the counters' snapshot is damaged; all series begin anew", { reason: error.message });
      return false;
    }
  }

  /** The last snapshot. @throws {DamagedBlob} when any of it is not what was written: parts of two do not add up. */
  read(): LedgerSnapshot {
    const blobs = new Map<string, string>();
    for (const { metric, packed } of this.#all.all() as { metric: string; packed: Uint8Array }[]) {
      blobs.set(metric, unpackText(packed));
    }
    const measured = blobs.get(measuredMetric);
    if (measured === undefined && blobs.size > 0) throw new DamagedBlob("does not say how far it has measured");
    blobs.delete(measuredMetric);
    return { measuredSeq: Number(measured ?? 0), blobs };
  }
}
