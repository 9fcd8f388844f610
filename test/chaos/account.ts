/** The books of a chaos run, kept apart from the program's: what was sent, what got a 200, and what arrived. */
import type { SunkLog } from "../support/otlp-sink.ts";
import { type Batch, noTotals, type SentRecord, totalNames, type Totals } from "./traffic.ts";

interface Entry {
  readonly record: SentRecord;
  /** Its log events that have not arrived yet. */
  readonly missing: Set<string>;
  isAnswered: boolean;
}

/** Sums of everything answered with 200 up to an instant. */
interface Answered {
  readonly at: number;
  readonly sums: Totals;
}

export class Account {
  readonly #entries = new Map<string, Entry>();
  readonly #byEvent = new Map<string, Entry>();
  readonly #batches: Pick<Batch, "alone" | "invalid">[] = [];
  readonly #answered: Answered[] = [{ at: 0, sums: noTotals() }];
  readonly #sent = noTotals();
  readonly #deadLettered = new Set<string>();
  readonly violations: string[] = [];
  /** Log events in accepted requests, and those among them that had arrived before. */
  arrivals = 0;
  repeats = 0;

  /** Everything sent so far, which no counter may exceed. */
  get sentSums(): Readonly<Totals> {
    return this.#sent;
  }

  get answeredRecords(): number {
    const { flows, audits, webhooks } = (this.#answered.at(-1) as Answered).sums;
    return flows + audits + webhooks;
  }

  /** Must be called before the batch's first byte is sent. */
  sending(batch: Batch): void {
    this.#batches.push({ alone: batch.alone, invalid: batch.invalid });
    for (const record of batch.own) {
      const entry = { record, missing: new Set(record.events.keys()), isAnswered: false };
      this.#entries.set(record.id, entry);
      for (const event of record.events.keys()) this.#byEvent.set(event, entry);
      addTo(this.#sent, record.adds);
    }
  }

  /** Notes that the batch was answered with 200 at that instant. */
  answered(batch: Batch, at: number): void {
    const sums = { ...(this.#answered.at(-1) as Answered).sums };
    for (const { id } of batch.records) {
      const entry = this.#entries.get(id) as Entry;
      if (entry.isAnswered) continue;
      entry.isAnswered = true;
      addTo(sums, entry.record.adds);
    }
    this.#answered.push({ at, sums });
  }

  /** Notes that the program has to fetch the batch sooner or later. */
  promised({ records }: Pick<Batch, "records">): void {
    for (const { id } of records) (this.#entries.get(id) as Entry).isAnswered = true;
  }

  /** Sums of what was answered before an instant, which every later fold must contain. */
  answeredBefore(at: number): Readonly<Totals> {
    return (this.#answered.findLast((answered) => answered.at < at) ?? { sums: noTotals() }).sums;
  }

  /** Checks a log event in a request: accepted or not, it must be one that was sent, with the same content. */
  arrived(log: SunkLog, isTaken: boolean): void {
    const key = eventKey(log);
    const entry = this.#byEvent.get(key);
    if (entry === undefined) return void this.violations.push(`invented: ${key}`);
    if (entry.record.events.get(key) !== contentOf(log)) this.violations.push(`changed: ${key} ${contentOf(log)}`);
    if (!isTaken) return;
    this.arrivals++;
    if (!entry.missing.delete(key)) this.repeats++;
  }

  /** Notes a record found among the dead letters. */
  deadLettered(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return void this.violations.push(`invented among the dead letters: ${id}`);
    if (!entry.record.isPoison) this.violations.push(`a dead letter without cause: ${id}`);
    if (this.#deadLettered.has(id)) this.violations.push(`a dead letter twice: ${id}`);
    this.#deadLettered.add(id);
  }

  /** Harmless records that were answered and have not arrived completely. */
  outstanding(): string[] {
    const late: string[] = [];
    for (const [id, { record, missing, isAnswered }] of this.#entries)
      if (isAnswered && missing.size > 0 && !record.isPoison) late.push(id);
    return late;
  }

  /** Sums of what has left the program. */
  get leftSums(): Readonly<Totals> {
    const sums = noTotals();
    for (const entry of this.#entries.values()) if (this.#hasLeft(entry)) addTo(sums, entry.record.adds);
    return sums;
  }

  /** What the program must have accepted, judging by what left it. A batch is accepted as a whole or not at all. */
  accepted(): {
    readonly sums: Totals;
    readonly records: number;
    readonly invalid: number;
    readonly unanswered: number;
  } {
    const sums = noTotals();
    let records = 0;
    let unanswered = 0;
    for (const entry of this.#entries.values()) {
      const { record, missing, isAnswered } = entry;
      const hasLeft = this.#hasLeft(entry);
      if (isAnswered && !hasLeft) this.violations.push(`lost: ${record.id}`);
      if (!hasLeft && missing.size < record.events.size) this.violations.push(`torn: ${record.id}`);
      if (!hasLeft) continue;
      addTo(sums, record.adds);
      records++;
      if (!isAnswered) unanswered++;
    }
    const taken = this.#batches.filter((batch) => this.#isTaken(batch));
    return { sums, records, unanswered, invalid: taken.reduce((sum, { invalid }) => sum + invalid, 0) };
  }

  #hasLeft({ record, missing }: Entry): boolean {
    return record.isPoison ? this.#deadLettered.has(record.id) : missing.size === 0;
  }

  #isTaken({ alone }: Pick<Batch, "alone">): boolean {
    const left = alone.filter(({ id, isPoison }) =>
      isPoison ? this.#deadLettered.has(id) : this.#entries.get(id)?.missing.size === 0,
    );
    if (left.length > 0 && left.length < alone.length)
      this.violations.push(`half a batch was accepted: ${alone.map(({ id }) => id).join(" ")}`);
    return left.length > 0;
  }
}

export function addTo(sums: Totals, more: Readonly<Totals>): void {
  for (const name of totalNames) sums[name] += more[name];
}

/** Identifies a log event among all others. */
export function eventKey({ eventName, attributes }: SunkLog): string {
  switch (eventName) {
    case "tailscale.config.audit":
      return String(attributes["tailscale.audit.event_group_id"]);
    case "tailscale.webhook.nodeCreated":
      return String(attributes["tailscale.webhook.node.id"]);
    default:
      return `${String(attributes["tailscale.node.id"])} ${String(attributes["source.port"])}`;
  }
}

function contentOf({ eventName, attributes }: SunkLog): string {
  switch (eventName) {
    case "tailscale.config.audit":
      return String(attributes["tailscale.audit.new"]);
    case "tailscale.webhook.nodeCreated":
      return String(attributes["tailscale.webhook.actor"]);
    default:
      return ["tx.bytes", "rx.bytes", "tx.packets", "rx.packets"]
        .map((name) => String(attributes[`tailscale.${name}`]))
        .join(" ");
  }
}
