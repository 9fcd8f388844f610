/** Runs replay and retry: finite deliveries that share a channel with fresh logs and give way to them. */
import { namedLogger } from "../lib/logger.ts";
import type {
  Awaitable,
  JournalReader,
  LogCursor,
  LogPosition,
  Mark,
  NewMark,
  Progress,
  Redelivery,
  RedeliveryProgress,
} from "../journal/index.ts";
import { Delivery } from "./delivery.ts";
import type { DeliveryDeps, DeliveryKind } from "./requests.ts";
import type { DeliveryState, Timer } from "./outage.ts";
import type { Channel, DeliverySource, Posted, Span } from "./requests.ts";
import { stopped } from "./sender.ts";
import { endThread, type Steps, taken } from "./steps.ts";

/** During a steady stream of fresh logs, a replay or retry waits this long for each request. */
const waitMs = 1_000;

/**
 * Shares one channel among all deliveries: at most `concurrency` requests at once, fresh logs first. A replay or retry sends
 * while no fresh logs are pending; during a steady stream of them, one request per second. During an outage it waits.
 */
export function shareChannel(channel: Channel, concurrency: number, timer: Timer) {
  let fresh: DeliveryState["kind"] = "idle";
  let sending = 0;
  let change = Promise.withResolvers<void>();

  function changed(): void {
    change.resolve();
    change = Promise.withResolvers();
  }

  /** Aborting `stop` does not end the wait at once, but a delivery that has been stopped does not wait for the answer. */
  async function post(mayGo: () => boolean, spans: readonly Span[], stop: AbortSignal): Promise<Posted> {
    const isTurn = () => stop.aborted || (sending < concurrency && mayGo());
    while (!isTurn()) await change.promise;
    if (stop.aborted) return stopped;
    sending++;
    return channel.post(spans, stop).finally(() => {
      sending--;
      changed();
    });
  }

  const channelOf = (send: Channel["post"]): Channel => ({
    get maxLogRecords() {
      return channel.maxLogRecords;
    },
    post: send,
  });

  return {
    fresh: channelOf((spans, stop) => post(() => true, spans, stop)),
    behind: channelOf((spans, stop) => {
      let hasWaited = false;
      const cancel = timer(waitMs, () => {
        hasWaited = true;
        changed();
      });
      const mayGo = () => fresh === "idle" || (fresh === "delivering" && hasWaited);
      return post(mayGo, spans, stop).finally(cancel);
    }),
    freshIs({ kind }: DeliveryState): void {
      fresh = kind;
      changed();
    },
  };
}

export interface OpenRedelivery {
  readonly source: DeliverySource;
  readonly marks: readonly Mark[];
}

/** What is shared with the delivery of fresh logs, and where rows and marks come from. */
export interface RedeliveringDeps extends Pick<DeliveryDeps, "channel" | "clock" | "random" | "timer" | "logger"> {
  /** Its rows and, for a retry, its marks sorted by row and end; only records inside those marks have log records. */
  open(redelivery: Redelivery): Awaitable<OpenRedelivery>;
  onProgress(progress: RedeliveryProgress): void;
  onState(kind: DeliveryKind, state: DeliveryState): void;
}

/** How long a stop waits for answers; unanswered requests are sent again after the next start. */
const lastAnswersMs = 2_000;

/** Runs at most one replay and one retry at a time. */
export class Redelivering {
  readonly #deps: RedeliveringDeps;
  readonly #running = new Map<Redelivery["name"], Delivery>();
  /** Redeliveries whose rows are being opened. */
  readonly #opening = new Map<Redelivery["name"], Redelivery>();

  constructor(deps: RedeliveringDeps) {
    this.#deps = deps;
  }

  /** Starts or resumes a redelivery in place of the one with that name; undefined only ends the latter. */
  use(name: Redelivery["name"], redelivery: Redelivery | undefined): void {
    void this.#running.get(name)?.stop(0);
    this.#running.delete(name);
    this.#opening.delete(name);
    if (redelivery !== undefined) this.#open(redelivery).catch(endThread);
  }

  async #open(redelivery: Redelivery): Promise<void> {
    const { name } = redelivery;
    this.#opening.set(name, redelivery);
    const isWanted = () => this.#opening.get(name) === redelivery;
    try {
      const opened = await this.#deps.open(redelivery);
      if (isWanted()) this.#begin(redelivery, opened);
    } catch (error) {
      if (isWanted()) throw error;
    }
  }

  /** Waits for requests in flight and starts nothing more. */
  async stop(deadlineMs: number): Promise<void> {
    this.#opening.clear();
    const running = Array.from(this.#running.values());
    await Promise.all(running.map((delivery) => delivery.stop(Math.min(deadlineMs, lastAnswersMs))));
    this.#running.clear();
  }

  #begin({ name, id, cursor }: Redelivery, { source, marks }: OpenRedelivery): void {
    const retried = name === "retry" ? new RetriedMarks(cursor, marks) : undefined;
    const isCurrent = () => this.#running.get(name) === delivery;
    let last = cursor;
    const delivery = new Delivery(name, cursor, {
      ...this.#deps,
      concurrency: 1,
      // Its log lines must not be mistaken for lines about fresh logs.
      logger: namedLogger(this.#deps.logger, { during: name }),
      source,
      onProgress: (progress) => {
        if (!isCurrent()) return;
        const accepted = retried?.acceptedBy(progress) ?? [];
        last = retried === undefined ? progress.cursor : { ...progress.cursor, records: retried.records };
        this.#deps.onProgress({ name, id, cursor: last, taken: accepted, isOver: false });
      },
      onState: (state) => {
        if (isCurrent()) this.#deps.onState(name, state);
      },
    });
    this.#running.set(name, delivery);
    delivery.start();
    void delivery.ended.then(() => {
      if (!isCurrent() || !delivery.isThrough) return;
      this.#running.delete(name);
      this.#deps.onProgress({ name, id, cursor: last, taken: [], isOver: true });
    });
  }
}

type LinesOfRow = Pick<NewMark, "seq" | "from" | "to">;

/** Finds the marks of a retry that were accepted as a whole: no part of them was refused or rejected again. */
class RetriedMarks {
  readonly #marks: readonly Mark[];
  /** Index of the first mark that has not been passed. */
  #next: number;
  #refused: readonly LinesOfRow[];
  /** Records of the marks that were passed. */
  records: LogCursor["records"];

  /** Resumes at `start`. The outcome of the records before it in their row is no longer known, so their marks stay. */
  constructor(start: LogCursor, marks: readonly Mark[]) {
    const { seq, record, logRecord } = start;
    this.#marks = marks;
    this.#next = marks.filter((mark) => hasPassed(start, mark)).length;
    this.#refused = [{ seq, from: 0, to: logRecord > 0 ? record + 1 : record }];
    this.records = start.records;
  }

  /** The ids of the marks that were accepted with this progress. */
  acceptedBy({ cursor, marks }: Progress): number[] {
    const accepted: number[] = [];
    let { delivered, deadLettered } = this.records;
    this.#refused = [...this.#refused, ...marks];
    for (let mark = this.#marks[this.#next]; mark !== undefined && hasPassed(cursor, mark);) {
      const { id, seq, from, to } = mark;
      const isRefused = this.#refused.some((part) => part.seq === seq && part.from < to && from < part.to);
      if (isRefused) deadLettered += to - from;
      else delivered += to - from;
      if (!isRefused) accepted.push(id);
      mark = this.#marks[++this.#next];
    }
    this.#refused = this.#refused.filter(({ seq }) => seq >= cursor.seq);
    this.records = { delivered, deadLettered };
    return accepted;
  }
}

function hasPassed({ seq, record }: LogPosition, mark: LinesOfRow): boolean {
  return seq > mark.seq || (seq === mark.seq && record >= mark.to);
}

const marksPerPage = 1_000;

/** The marks of a retry that existed when it was planned, sorted by row and end. */
export function* marksOf(
  reader: Pick<JournalReader, "marks">,
  { marks: filter, untilSeq }: Redelivery,
): Steps<readonly Mark[]> {
  const found: Mark[] = [];
  for (let afterId = 0; ; afterId = (found.at(-1) as Mark).id) {
    const page = yield* taken(reader.marks(filter ?? {}, { afterId, marks: marksPerPage }));
    for (const mark of page) if (mark.id < untilSeq) found.push(mark);
    if (page.length < marksPerPage || (page.at(-1) as Mark).id >= untilSeq) break;
  }
  return found.sort((a, b) => a.seq - b.seq || a.to - b.to);
}
