/** Delivery where no logs leave: what is committed counts as delivered to the local store. */
import type { Committed, LogCursor } from "../journal/types.ts";
import type { Advance } from "./window.ts";

export interface LocalDelivery {
  committed(batch: Committed): void;
}

/** Begins with everything that waited when logs still left, or were meant to. */
export function createLocalDelivery(
  from: { readonly cursor: LogCursor; readonly pendingRecords: number; readonly lastSeq: number },
  onProgress: (advance: Advance) => void,
): LocalDelivery {
  let cursor = from.cursor;
  const deliver = (records: number, lastSeq: number): void => {
    const delivered = cursor.records.delivered + records;
    cursor = { ...cursor, seq: lastSeq + 1, record: 0, event: 0, records: { ...cursor.records, delivered } };
    onProgress({ cursor, setAside: [] });
  };
  if (from.cursor.seq <= from.lastSeq) deliver(from.pendingRecords, from.lastSeq);
  return {
    committed({ accepted, lastSeq }) {
      deliver(
        accepted.reduce((sum, { records }) => sum + records, 0),
        lastSeq,
      );
    },
  };
}
