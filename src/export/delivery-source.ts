/** What log delivery reads: committed records in order, with the log events they make. */
import type { LogEvent } from "../catalogue/log-event.ts";
import { keptEvents } from "../journal/kept-events.ts";
import type { JournalReader, JournalRow, LogPosition } from "../journal/types.ts";
import type { RecordType, Source } from "../records/types.ts";

/** One committed record on its way out. */
export interface DeliverableRecord {
  readonly seq: number;
  /** Its place within the row. */
  readonly record: number;
  /** How many accepted records it stands for: one, or all of a row that cannot be read. */
  readonly records: number;
  readonly type: RecordType;
  readonly source: Source;
  /** Its stored form. */
  readonly line: string;
  /** Empty where it makes none: it is then delivered at once. */
  readonly events: readonly LogEvent[];
  /** Why it has no events though it should. */
  readonly defect: string | undefined;
}

/** A stretch of the journal. */
export interface Stretch {
  readonly records: readonly DeliverableRecord[];
  /** Where the next stretch begins; past rows without records too. */
  readonly end: LogPosition;
}

/** One log event and where it stands. */
export interface PlacedEvent {
  readonly log: LogEvent;
  readonly position: LogPosition;
}

export interface DeliverySource {
  /** Records from that one on. The end equals the start where nothing more is committed. */
  next(from: LogPosition): Stretch;
  /** The last log event of the row `seq`, if it has any. */
  newest(seq: number): PlacedEvent | undefined;
}

/**
 * The log events of one stored line.
 * @throws {Error} when the line does not describe: the record becomes a dead letter.
 */
export type DescribeLine = (line: string, type: RecordType, acceptedAt: number) => readonly LogEvent[];

/** Rows of this much text are read at a time; a row alone is at most a few MiB. */
const stretchLimit = { rows: 64, bytes: 1_048_576 };

export function journalSource(reader: JournalReader, describeLine: DescribeLine): DeliverySource {
  return {
    next(from) {
      const records: DeliverableRecord[] = [];
      let end = from;
      for (const row of reader.read(from.seq, stretchLimit)) {
        const first = row.seq === from.seq ? from.record : 0;
        for (const record of recordsOf(row, first, describeLine)) records.push(record);
        end = { seq: row.seq + 1, record: 0, event: 0 };
      }
      return { records, end };
    },
    newest(seq) {
      const row = reader.read(seq, { rows: 1, bytes: 1 })[0];
      if (row?.type === undefined || row.text === "") return undefined;
      const lines = row.text.split("\n");
      for (let record = lines.length - 1; record >= 0; record--) {
        const { events } = described(lines[record] ?? "", record, row, describeLine);
        const log = events.at(-1);
        if (log !== undefined) return { log, position: { seq: row.seq, record, event: events.length - 1 } };
      }
      return undefined;
    },
  };
}

/** Rows that are looked at for a log event: some make none, and some are a tally alone. */
const maxLookedAt = 200;

/** The newest log event of the rows up to `seq`, if one of the last has any. */
export function newestBefore(seq: number, source: DeliverySource): PlacedEvent | undefined {
  for (let at = seq; at > Math.max(0, seq - maxLookedAt); at--) {
    const found = source.newest(at);
    if (found !== undefined) return found;
  }
  return undefined;
}

function* recordsOf(row: JournalRow, first: number, describeLine: DescribeLine): Generator<DeliverableRecord> {
  const { seq, type, source } = row;
  if (type === undefined || row.records === 0) return;
  if (row.damage !== undefined) {
    const records = row.records - first;
    const defect = `the journal's row cannot be read: ${row.damage}`;
    yield { seq, record: first, records, type, source, line: "", events: [], defect };
    return;
  }
  const lines = row.text.split("\n");
  for (let record = first; record < lines.length; record++) {
    const line = lines[record] as string;
    yield { seq, record, records: 1, type, source, line, ...described(line, record, row, describeLine) };
  }
}

const nothing: readonly LogEvent[] = [];

function described(
  line: string,
  place: number,
  { type, acceptedAt, flags }: JournalRow,
  describeLine: DescribeLine,
): Pick<DeliverableRecord, "events" | "defect"> {
  if (type === undefined) return { events: nothing, defect: undefined };
  try {
    return { events: keptEvents(describeLine(line, type, acceptedAt), flags, place), defect: undefined };
  } catch (error) {
    return { events: nothing, defect: error instanceof Error ? error.message : String(error) };
  }
}
