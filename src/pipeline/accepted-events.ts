/** Log events of what was accepted, read back from the journal: for whoever watches, not for delivery. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { JournalReader, JournalRow } from "../journal/types.ts";
import { describeLine, type ProcessorOptions } from "../processors/index.ts";

export interface AcceptedEvents {
  /** Where to go on. */
  readonly nextSeq: number;
  readonly events: readonly LogEvent[];
}

/** Events of whole rows from `fromSeq` on, until there are `limit` of them. Records that do not describe are left out. */
export function readAcceptedEvents(
  reader: JournalReader,
  options: ProcessorOptions,
  { fromSeq, limit }: { readonly fromSeq: number; readonly limit: number },
): AcceptedEvents {
  const events: LogEvent[] = [];
  let nextSeq = fromSeq;
  while (events.length < limit) {
    const [row] = reader.read(nextSeq, { rows: 1, bytes: 1 });
    if (row === undefined) break;
    nextSeq = row.seq + 1;
    for (const event of eventsOf(row, options)) events.push(event);
  }
  return { nextSeq, events };
}

function eventsOf({ type, text, acceptedAt }: JournalRow, options: ProcessorOptions): readonly LogEvent[] {
  if (type === undefined || text === "") return [];
  return text.split("\n").flatMap((line) => {
    try {
      return describeLine(line, type, options, acceptedAt);
    } catch {
      return [];
    }
  });
}
