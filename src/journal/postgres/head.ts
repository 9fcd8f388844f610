/** The journal's last row and its sums, as this instance has seen them last: each append brings them, and each look at the database. */
import type { RecordType } from "../../records/types.ts";
import type { Connection } from "./connection.ts";

/** As it is stored. Each append changes it, in the order of commits. */
export interface HeadRow {
  readonly seq: number;
  /** Records accepted since the journal was made. */
  readonly accepted_flow: number;
  readonly accepted_audit: number;
  readonly accepted_webhook: number;
  /** Of rows and flow keys. */
  readonly used_bytes: number;
  /** Another one: the database has failed over, or was restored, perhaps to a state without the last commits. */
  readonly history: string;
}

/** For a SELECT from `head` of this schema, which is quoted. */
export function headColumns(schema: string): string {
  return `seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes, ${schema}.history() AS history`;
}

export class Heads {
  current: HeadRow;
  /** Called with each later one. */
  onGrowth: (head: HeadRow) => void = () => undefined;
  /** Called once the history is another one, with how many of the rows that were seen are gone. */
  readonly failovers = new Set<(lostRows: number) => void>();

  constructor(first: HeadRow) {
    this.current = first;
  }

  /** Looks at it at once. @throws {DatabaseError} */
  async look(connection: Connection, schema: string): Promise<void> {
    const [head] = await connection.query<HeadRow>(`SELECT ${headColumns(schema)} FROM ${schema}.head`);
    if (head !== undefined) this.see(head);
  }

  /** Two connections may answer in another order than they were asked: an earlier one changes nothing. */
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

/** Records of these types. */
export function acceptedIn(head: HeadRow, types: readonly RecordType[]): number {
  return types.reduce((sum, type) => sum + head[`accepted_${type}`], 0);
}
