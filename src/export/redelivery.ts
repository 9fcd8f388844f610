/** Replay and retry: deliveries of their own behind fresh logs, in the same channel, that come to an end. */
import type { Logger } from "../lib/logger.ts";
import type {
  JournalReader,
  LogCursor,
  LogPosition,
  Mark,
  NewMark,
  Progress,
  Redelivery,
  RedeliveryProgress,
} from "../journal/index.ts";
import { eachLevel } from "./self-observability.ts";
import { Delivery, type DeliveryDeps } from "./delivery.ts";
import type { DeliveryState, Timer } from "./outage.ts";
import type { Channel, DeliverySource, Posted, Span } from "./requests.ts";
import { allRecords, firstAt, type RowSelection } from "./rows.ts";

/** Beside a steady stream of fresh logs, a replay or retry waits this long for each request. */
const waitMs = 1_000;

const stopped: Posted = { kind: "failed", cause: "unreachable", why: "stopped" };

/**
 * One channel for all deliveries: at most `concurrency` requests at once, fresh logs first. A replay or retry sends while
 * nothing fresh is waiting; beside a steady stream of it, one request a second. During an outage it waits.
 */
export function shareChannel(channel: Channel, concurrency: number, timer: Timer) {
  const waiting: { readonly mayGo: () => boolean; readonly go: () => void }[] = [];
  let fresh: DeliveryState["kind"] = "idle";
  let sending = 0;

  function check(): void {
    for (const one of waiting.slice()) {
      if (sending >= concurrency || !one.mayGo()) continue;
      waiting.splice(waiting.indexOf(one), 1);
      sending++;
      one.go();
    }
  }

  async function post(mayGo: () => boolean, spans: readonly Span[], stop: AbortSignal): Promise<Posted> {
    const { promise: turn, resolve } = Promise.withResolvers<"mine" | "never">();
    const one = { mayGo, go: () => resolve("mine") };
    const giveUp = () => {
      if (waiting.includes(one)) waiting.splice(waiting.indexOf(one), 1);
      resolve("never");
    };
    stop.addEventListener("abort", giveUp);
    waiting.push(one);
    check();
    if (stop.aborted) giveUp();
    const isMine = (await turn) === "mine";
    stop.removeEventListener("abort", giveUp);
    if (!isMine) return stopped;
    try {
      return await channel.post(spans, stop);
    } finally {
      sending--;
      check();
    }
  }

  function channelOf(send: Channel["post"]): Channel {
    return {
      get maxLogRecords() {
        return channel.maxLogRecords;
      },
      post: send,
    };
  }

  return {
    fresh: channelOf((spans, stop) => post(() => true, spans, stop)),
    behind: channelOf((spans, stop) => {
      let isPatient = true;
      const cancel = timer(waitMs, () => {
        isPatient = false;
        check();
      });
      const mayGo = () => fresh === "idle" || (fresh === "delivering" && !isPatient);
      return post(mayGo, spans, stop).finally(cancel);
    }),
    freshIs({ kind }: DeliveryState): void {
      fresh = kind;
      check();
    },
  };
}

/** What is shared with the delivery of fresh logs, and where rows and marks come from. */
export interface RedeliveringDeps extends Pick<DeliveryDeps, "channel" | "clock" | "random" | "timer" | "logger"> {
  /** The rows of it, and of a retry its marks by row and end. Of those rows, only records inside the marks have log records. */
  open(redelivery: Redelivery): { readonly source: DeliverySource; readonly marks: readonly Mark[] };
  onProgress(progress: RedeliveryProgress): void;
  onState(name: Redelivery["name"], state: DeliveryState): void;
}

/** What is not answered by then is sent again after the next start. */
const lastAnswersMs = 2_000;

/** Runs replay and retry, one of each at a time. */
export class Redelivering {
  readonly #deps: RedeliveringDeps;
  readonly #running = new Map<Redelivery["name"], Delivery>();

  constructor(deps: RedeliveringDeps) {
    this.#deps = deps;
  }

  /** Begins it or goes on with it, instead of another of that name; without one, ends that where it is. */
  use(name: Redelivery["name"], redelivery: Redelivery | undefined): void {
    const ended = this.#running.get(name);
    this.#running.delete(name);
    void ended?.stop(0);
    if (redelivery !== undefined) this.#begin(redelivery);
  }

  /** Waits for what is under way and begins nothing more. */
  async stop(deadlineMs: number): Promise<void> {
    const running = Array.from(this.#running.values());
    await Promise.all(running.map((delivery) => delivery.stop(Math.min(deadlineMs, lastAnswersMs))));
    this.#running.clear();
  }

  #begin({ name, id, cursor, ...rest }: Redelivery): void {
    const { source, marks } = this.#deps.open({ name, id, cursor, ...rest });
    const retried = name === "retry" ? new RetriedMarks(cursor, marks) : undefined;
    const isCurrent = () => this.#running.get(name) === delivery;
    let last = cursor;
    const delivery = new Delivery(name, cursor, {
      ...this.#deps,
      concurrency: 1,
      logger: naming(name, this.#deps.logger),
      source,
      onProgress: (progress) => {
        if (!isCurrent()) return;
        const taken = retried?.takenBy(progress) ?? [];
        last = retried === undefined ? progress.cursor : { ...progress.cursor, records: retried.records };
        this.#deps.onProgress({ name, id, cursor: last, taken, isOver: false });
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

/** Finds out which marks of a retry were taken as a whole: no part of them was refused or rejected once more. */
class RetriedMarks {
  readonly #start: LogPosition;
  readonly #marks: readonly Mark[];
  /** Marks before that one are passed. */
  #next: number;
  #refused: readonly NewMark[] = [];
  /** Records of the marks that were passed. */
  records: LogCursor["records"];

  /** Goes on at `start`. A mark that begins before it stays: what became of its beginning is not known any more. */
  constructor(start: LogCursor, marks: readonly Mark[]) {
    this.#start = start;
    this.#marks = marks;
    this.#next = marks.filter((mark) => hasPassed(start, mark)).length;
    this.records = start.records;
  }

  /** The ids of the marks that were taken with this progress. */
  takenBy({ cursor, marks }: Progress): number[] {
    const taken: number[] = [];
    let { delivered, deadLettered } = this.records;
    this.#refused = [...this.#refused, ...marks];
    for (; this.#next < this.#marks.length; this.#next++) {
      const mark = this.#marks[this.#next] as Mark;
      if (!hasPassed(cursor, mark)) break;
      const isTaken = !isInside(this.#start, mark) && !this.#refused.some((refused) => overlaps(refused, mark));
      if (isTaken) taken.push(mark.id);
      if (isTaken) delivered += mark.to - mark.from;
      else deadLettered += mark.to - mark.from;
    }
    this.#refused = this.#refused.filter(({ seq }) => seq >= cursor.seq);
    this.records = { delivered, deadLettered };
    return taken;
  }
}

function overlaps(a: NewMark, b: NewMark): boolean {
  return a.seq === b.seq && a.from < b.to && b.from < a.to;
}

function hasPassed({ seq, record }: LogPosition, mark: NewMark): boolean {
  return seq > mark.seq || (seq === mark.seq && record >= mark.to);
}

/** Whether a position lies behind the mark's beginning and before its end. */
function isInside({ seq, record, logRecord }: LogPosition, mark: NewMark): boolean {
  if (seq !== mark.seq || record >= mark.to) return false;
  return record > mark.from || (record === mark.from && logRecord > 0);
}

/** The rows of a replay, by when they were received. */
export function replayed({ untilSeq, range }: Redelivery): RowSelection {
  return {
    untilSeq,
    skipTo: (seq) => seq,
    recordsOf: ({ acceptedAt }) =>
      range === undefined || (acceptedAt >= range.since && acceptedAt <= range.until) ? allRecords : undefined,
  };
}

/** The records that those marks name. The marks are in the order of `marksOf`. */
export function marked(marks: readonly Mark[]): RowSelection {
  return {
    untilSeq: (marks.at(-1)?.seq ?? 0) + 1,
    skipTo: (seq) => marks[firstAt(marks, seq)]?.seq ?? seq,
    recordsOf({ seq }) {
      const ranges: Mark[] = [];
      for (let at = firstAt(marks, seq); marks[at]?.seq === seq; at++) ranges.push(marks[at] as Mark);
      if (ranges.length === 0) return undefined;
      return (record) => ranges.some(({ from, to }) => from <= record && record < to);
    },
  };
}

const marksPerPage = 1_000;

/** The marks of a retry that had been made when it was planned, by row and end. */
export function marksOf(reader: Pick<JournalReader, "marks">, { marks: filter, untilSeq }: Redelivery): Mark[] {
  const found: Mark[] = [];
  for (let afterId = 0; ; afterId = (found.at(-1) as Mark).id) {
    const page = reader.marks(filter ?? {}, { afterId, marks: marksPerPage });
    for (const mark of page) if (mark.id < untilSeq) found.push(mark);
    if (page.length < marksPerPage || (page.at(-1) as Mark).id >= untilSeq) break;
  }
  return found.sort((a, b) => a.seq - b.seq || a.to - b.to);
}

/** Its lines must not be taken for something about fresh logs. */
function naming(name: Redelivery["name"], logger: Logger): Logger {
  return eachLevel((level) => (message, fields) => logger[level](message, { ...fields, during: name }));
}
