/** What damage took from the journal: rows that are gone, and by how many records what is counted and what is here differ since. */
import type { DatabaseSync } from "node:sqlite";
import { DamagedBlob } from "./pack.ts";
import { readMeta, writeMeta } from "./meta.ts";

/** Sums since the journal was made; those of records begin anew with the ledger. */
export interface Loss {
  /** Rows that were not both delivered and measured: gaps in `seq`, where it is known how many there were. */
  readonly rows: number;
  /** Records that are counted as accepted and are gone before they were delivered, or before it was known that they were. */
  readonly records: number;
  /** Records that are delivered or waiting, and whose count as accepted is gone. */
  readonly uncounted: number;
}

interface StoredLoss extends Loss {
  /** Something was lost, and nobody has compared the sums since. */
  readonly isOpen: boolean;
}

const metaName = "loss";
const nothing: StoredLoss = { rows: 0, records: 0, uncounted: 0, isOpen: false };

/** What is written down; a damaged text is none. */
export function readLoss(database: DatabaseSync): StoredLoss {
  try {
    const text = readMeta(database, metaName);
    return text === undefined ? nothing : (JSON.parse(text) as StoredLoss);
  } catch (error) {
    if (error instanceof DamagedBlob) return nothing;
    throw error;
  }
}

/**
 * Adds lost rows, inside the caller's transaction. How many records that were shows when the sums are compared. A gap that
 * delivery has not passed by the next damage is found and added once more; its records are not.
 */
export function addLostRows(database: DatabaseSync, rows: number): void {
  const known = readLoss(database);
  write(database, { ...known, rows: known.rows + rows, isOpen: true });
}

/** For where the sums of records begin anew: differences of the old ones mean nothing to them. */
export function reopenLoss(database: DatabaseSync): void {
  write(database, { rows: readLoss(database).rows, records: 0, uncounted: 0, isOpen: true });
}

/** Writes down by how much `accepted` records differ from those that are `held`: delivered, waiting or dead-lettered. Again has no effect. */
export function settleLoss(database: DatabaseSync, sums: { readonly accepted: number; readonly held: number }): Loss {
  const known = readLoss(database);
  if (!known.isOpen) return known;
  const difference = sums.accepted + known.uncounted - sums.held - known.records;
  const settled = {
    rows: known.rows,
    records: known.records + Math.max(0, difference),
    uncounted: known.uncounted + Math.max(0, -difference),
    isOpen: false,
  };
  write(database, settled);
  return settled;
}

function write(database: DatabaseSync, loss: StoredLoss): void {
  writeMeta(database, metaName, JSON.stringify(loss));
}
