/** The journal's last row and its sums, as this instance has seen them last: each append brings them, and each look at the database. */

/** As it is stored. Each append changes it, in the order of commits. */
export interface HeadRow {
  readonly seq: number;
  /** Records accepted since the journal was made. */
  readonly accepted_flow: number;
  readonly accepted_audit: number;
  readonly accepted_webhook: number;
  /** Of rows and flow keys. */
  readonly used_bytes: number;
}

/** For a SELECT. */
export const headColumns = "seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes";

export class Heads {
  current: HeadRow;
  /** Called with each later one. */
  onGrowth: (head: HeadRow) => void = () => undefined;

  constructor(first: HeadRow) {
    this.current = first;
  }

  /** Two connections may answer in another order than they were asked: an earlier one changes nothing. */
  see(head: HeadRow): void {
    const { seq } = this.current;
    if (head.seq < seq) return;
    this.current = head;
    if (head.seq > seq) this.onGrowth(head);
  }
}
