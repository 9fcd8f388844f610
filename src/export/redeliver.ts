/** The worker's side of what is sent once more: a log delivery of its own for each, in the lane behind fresh logs. */
import { openLetterReader, boundedReader } from "../journal/letter-reader.ts";
import { openJournalReader } from "../journal/reader.ts";
import { hasPassed, type Redelivery, type RedeliveryName, type RedeliveryProgress } from "../journal/redelivery.ts";
import type { JournalReader } from "../journal/types.ts";
import type { Logger } from "../lib/logger.ts";
import { type DescribeLine, type DeliverySource, journalSource, type PlacedEvent } from "./delivery-source.ts";
import type { DeliveryState } from "./delivery-state.ts";
import { LogDelivery, type LogDeliveryDeps, type LogDeliveryOptions } from "./logs.ts";

/** What is shared with the delivery of fresh logs. */
export interface RedeliverDeps extends Pick<
  LogDeliveryDeps,
  "channel" | "encode" | "clock" | "random" | "timer" | "logger"
> {
  readonly databasePath: string;
  readonly describeLine: DescribeLine;
  /** The newest log event of all, if it is known: whether the backend takes it tells whether it is well. */
  readonly newest: () => PlacedEvent | undefined;
  readonly onProgress: (progress: RedeliveryProgress) => void;
  readonly onState: (name: RedeliveryName, state: DeliveryState) => void;
}

export interface Redeliver {
  /** Begins it, or goes on with it, in the place of another of that name; without one, ends that. */
  use(name: RedeliveryName, redelivery: Redelivery | undefined): void;
  /** Ends all of them where they are, once what is under way is answered. */
  stop(deadlineMs: number): Promise<void>;
}

/** What is not answered by then is sent again after the next start; the time is for fresh logs. */
const lastAnswersMs = 2000;

interface Running {
  readonly delivery: LogDelivery;
  readonly reader: JournalReader;
}

export function createRedeliver(options: LogDeliveryOptions, deps: RedeliverDeps): Redeliver {
  const running = new Map<RedeliveryName, Running>();

  /** Nothing more is heard of it. */
  async function end(name: RedeliveryName): Promise<void> {
    const ended = running.get(name);
    running.delete(name);
    if (ended === undefined) return;
    await ended.delivery.finish(0);
    ended.reader.close();
  }

  function begin(redelivery: Redelivery): void {
    const { name, id, untilSeq, records, events, seq, record, event } = redelivery;
    const reader = readerOf(redelivery, deps.databasePath);
    const delivery = new LogDelivery({ seq, record, event, records, events }, options, {
      ...deps,
      logger: tellingName(name, deps.logger),
      source: withNewest(journalSource(reader, deps.describeLine), deps.newest),
      onProgress({ cursor, setAside }) {
        if (running.get(name)?.delivery !== delivery) return;
        const refused = setAside.flatMap((item) =>
          item.class === "dead_letter" && item.seq !== undefined ? [item.seq] : [],
        );
        deps.onProgress({ name, id, cursor, refused });
        if (hasPassed(redelivery, cursor)) void end(name);
      },
      onState(state) {
        if (running.get(name)?.delivery === delivery) deps.onState(name, state);
      },
    });
    running.set(name, { delivery, reader });
    delivery.start(untilSeq - 1);
  }

  return {
    use(name, redelivery) {
      void end(name);
      if (redelivery !== undefined) begin(redelivery);
    },
    async stop(deadlineMs) {
      const lastMs = Math.min(deadlineMs, lastAnswersMs);
      await Promise.all(
        Array.from(running, async ([name, { delivery }]) => {
          await delivery.finish(lastMs);
          await end(name);
        }),
      );
    },
  };
}

function readerOf(redelivery: Redelivery, databasePath: string): JournalReader {
  switch (redelivery.name) {
    case "replay":
      return boundedReader(openJournalReader(databasePath), redelivery);
    case "retry":
      return boundedReader(openLetterReader(databasePath, redelivery.letters), redelivery);
  }
}

/**
 * The backend is tested with the newest log event of the journal, not with the last of what is sent once more: that may be
 * the very one that it refuses. Its place is nowhere among them.
 */
function withNewest(source: DeliverySource, newest: () => PlacedEvent | undefined): DeliverySource {
  return {
    next: source.next,
    newest(seq) {
      const found = newest();
      return found === undefined ? source.newest(seq) : { log: found.log, position: { ...found.position, seq: 0 } };
    },
  };
}

/** What it says must not be taken for something about fresh logs: what is refused here is passed over, not set aside. */
function tellingName(name: RedeliveryName, logger: Logger): Logger {
  return {
    debug: (message, fields) => logger.debug(message, { ...fields, during: name }),
    info: (message, fields) => logger.info(message, { ...fields, during: name }),
    warn: (message, fields) => logger.warn(message, { ...fields, during: name }),
    error: (message, fields) => logger.error(message, { ...fields, during: name }),
  };
}
