/** The journal's last row and its counts as last seen by this instance, from its appends and its looks at the database. */
import type { RecordType } from "../../records/types.ts";
import type { Connection } from "./connection.ts";

/** The stored head. Each append changes it, in the order of commits. */
export interface HeadRow {
  readonly seq: number;
  /** Records accepted since the journal was created. */
  readonly accepted_flow: number;
  readonly accepted_audit: number;
  readonly accepted_webhook: number;
  /** Size of rows and flow keys. */
  readonly used_bytes: number;
  /** Changes when the database has failed over or was restored, perhaps to a state without the last commits. */
  readonly history: string;
}

/** Columns for a SELECT from `head` of this schema, which is quoted. */
export function headColumns(schema: string): string {
  return `seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes, ${schema}.history() AS history`;
}

export class Heads {
  current: HeadRow;
  /** Called with each later head. */
  onGrowth: (head: HeadRow) => void = () => undefined;
  /** Called when the history has changed, with the number of seen rows that are lost. */
  readonly failovers = new Set<(lostRows: number) => void>();

  constructor(first: HeadRow) {
    this.current = first;
  }

  /** Queries the head at once. @throws {DatabaseError} */
  async look(connection: Connection, schema: string): Promise<void> {
    const [head] = await connection.query<HeadRow>(`SELECT ${headColumns(schema)} FROM ${schema}.head`);
    if (head !== undefined) this.see(head);
  }

  /** Updates the head. Two connections may answer out of order, so an earlier head is ignored. */
  see(head: HeadRow): void {
    const { seq, history } = this.current;
    if (head.history !== history) {
      this.current = head;
      for (const failedOver of this.failovers) failedOver(Math.max(0, seq - head.seq));
      return;
    }
    if (head.seq < seq) return;
    this.current = head;
    if (head.seq > seq) this.onGrowth(head);
  }
}

/** Accepted records of these types. */
export function acceptedIn(head: HeadRow, types: readonly RecordType[]): number {
  return types.reduce((sum, type) => sum + head[`accepted_${type}`], 0);
}
