/** Simulates log delivery to a small backend in virtual time: hours pass in milliseconds, and a seed reproduces them. */
import { Delivery } from "../../src/export/delivery.ts";
import type { DeliveryDeps, DeliveryKind } from "../../src/export/requests.ts";
import { DeliveryRow, type Posted } from "../../src/export/requests.ts";
import type { DeliveryState } from "../../src/export/outage.ts";
import { type LogCursor, type NewMark, startOfJournal } from "../../src/journal/index.ts";
import type { LogFields, LogLevel } from "../../src/lib/logger.ts";

/** One log record: its number in the whole journal and its event time in epoch milliseconds. */
export interface Log {
  readonly id: number;
  readonly time: number;
}

/** A test record: its log records, or why it has none. */
export type TestRecord = readonly Log[] | string;

/** The backend's answer to a request, computed when the request arrives. */
export type Backend = (logs: readonly Log[], now: number, random: () => number) => Posted;

export const minute = 60_000;
export const hour = 60 * minute;
export const start = 1_800_000_000_000;

/** Returns the same numbers for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** `bytes`: size of its text. */
export function rowOf(
  seq: number,
  records: readonly TestRecord[],
  bytes = 0,
): DeliveryRow & { readonly logs: readonly Log[] } {
  const text = new Uint8Array(bytes);
  const row = new DeliveryRow({ seq, acceptedAt: start, text }, records.length, () => ({ kind: "plain", events: [] }));
  for (const [number, record] of records.entries()) {
    if (typeof record === "string") row.note(number, 0, start, record);
    else row.note(number, record.length, record[0]?.time ?? start, undefined);
  }
  return Object.assign(row, { logs: records.filter((record) => typeof record !== "string").flat() });
}

type TestRow = ReturnType<typeof rowOf>;

export interface SimulationSettings {
  readonly seed: number;
  readonly backend: Backend;
  /** The answer to an export without log records; by default, it is accepted. */
  readonly empty?: (now: number) => Posted;
  readonly kind?: DeliveryKind;
  readonly maxLogRecords?: number;
  readonly concurrency?: number;
  /** Maximum milliseconds to read a row that is not at hand, as half of them are not; by default, all rows are at hand. */
  readonly readMs?: number;
  /** Milliseconds until an answer arrives. */
  readonly latencyMs?: (random: () => number) => number;
}

export interface Line {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** A journal, a backend and the delivery between them, which can be killed and restarted. */
export class Simulation {
  now = start;
  readonly rows: TestRow[] = [];
  cursor: LogCursor = startOfJournal;
  readonly marks: NewMark[] = [];
  readonly lines: Line[] = [];
  readonly states: DeliveryState[] = [];
  /** Ids the backend has accepted, in order of acceptance. */
  readonly taken: number[] = [];
  /** Ids of each request and the answer; an empty export has none. */
  readonly requests: { readonly at: number; readonly ids: readonly number[]; readonly answer: Posted["kind"] }[] = [];
  delivery: Delivery;
  readonly random: () => number;
  readonly #settings: SimulationSettings;
  readonly #events: { readonly at: number; readonly order: number; run: (() => void) | undefined }[] = [];
  #order = 0;
  #life = 0;
  #logs = 0;

  constructor(settings: SimulationSettings) {
    this.#settings = settings;
    this.random = randomOf(settings.seed);
    this.delivery = this.#begin();
  }

  /** Number of log records committed. */
  get logs(): number {
    return this.#logs;
  }

  /** Commits a row. Each number is the event time of a log record. */
  commit(records: readonly (readonly number[] | string)[]): void {
    const made = records.map((record) =>
      typeof record === "string" ? record : record.map((time) => ({ id: this.#logs++, time })),
    );
    this.rows.push(rowOf(this.rows.length + 1, made));
    this.delivery.wake();
  }

  start(): void {
    this.delivery.start();
  }

  /** Restarts as if the process had been killed: everything unreported is forgotten. */
  restart(): void {
    this.#life++;
    this.delivery = this.#begin();
    this.delivery.start();
  }

  at(time: number, run: () => void): void {
    this.#schedule(time - this.now, run);
  }

  /** Lets time pass until the condition holds. Returns false if it does not hold by the last moment. */
  async until(condition: () => boolean, lastMoment: number): Promise<boolean> {
    for (;;) {
      await settled();
      if (condition()) return true;
      const next = this.#events[0];
      if (next === undefined || next.at > lastMoment) {
        this.now = Math.max(this.now, lastMoment);
        return false;
      }
      this.#take();
      this.now = Math.max(this.now, next.at);
      next.run?.();
    }
  }

  /** Lets time pass until the cursor is past everything committed. */
  drained(lastMoment: number): Promise<boolean> {
    return this.until(() => this.cursor.seq > this.rows.length, lastMoment);
  }

  /** Ids of the log records in dead letters, ascending. */
  get deadIds(): number[] {
    const ids: number[] = [];
    for (const { seq, from, to, why } of this.marks) {
      if (why === "partial") continue;
      const row = this.rows[seq - 1] as TestRow;
      for (let at = row.firstLogRecord(from); at < row.firstLogRecord(to); at++) ids.push((row.logs[at] as Log).id);
    }
    return ids.sort((a, b) => a - b);
  }

  /** The dependencies of a delivery in this life of the process. */
  get parts(): Omit<DeliveryDeps, "onProgress" | "onState"> {
    const life = this.#life;
    const { concurrency = 4, maxLogRecords = 100, backend, empty } = this.#settings;
    const latency = this.#settings.latencyMs ?? ((random) => 5 + random() * 50);
    const answer = (ids: readonly number[], of: () => Posted): Promise<Posted> =>
      new Promise((resolve) => {
        this.#schedule(latency(this.random), () => {
          const posted = of();
          this.requests.push({ at: this.now, ids, answer: posted.kind });
          if (posted.kind === "accepted") this.taken.push(...ids);
          this.#schedule(latency(this.random), () => {
            if (life === this.#life) resolve(posted);
          });
        });
      });
    const say = (level: LogLevel) => (message: string, fields?: LogFields) => {
      if (life === this.#life) this.lines.push({ level, message, fields });
    };
    return {
      concurrency,
      source: {
        next: (seq) => {
          const row = () => this.rows[Math.max(0, seq - 1)];
          const { readMs } = this.#settings;
          if (readMs === undefined || this.random() < 0.5) return row();
          return new Promise((resolve) => {
            this.#schedule(this.random() * readMs, () => {
              if (life === this.#life) resolve(row());
            });
          });
        },
      },
      logger: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") },
      clock: () => this.now,
      random: this.random,
      timer: (delayMs, callback) => {
        const event = this.#schedule(delayMs, () => {
          if (life === this.#life) callback();
        });
        return () => {
          event.run = undefined;
        };
      },
      channel: {
        maxLogRecords,
        post: (spans) => {
          const logs = spans.flatMap(({ row, from, to }) => (row as TestRow).logs.slice(from, to));
          return answer(
            logs.map(({ id }) => id),
            () =>
              logs.length > 0 ? backend(logs, this.now, this.random) : (empty?.(this.now) ?? { kind: "accepted" }),
          );
        },
      },
    };
  }

  #begin(): Delivery {
    const life = this.#life;
    return new Delivery(this.#settings.kind ?? "logs", this.cursor, {
      ...this.parts,
      onProgress: ({ cursor, marks }) => {
        if (life !== this.#life) return;
        this.cursor = cursor;
        this.marks.push(...marks);
      },
      onState: (state) => {
        if (life === this.#life) this.states.push(state);
      },
    });
  }

  #schedule(delayMs: number, run: () => void) {
    const event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run: run as (() => void) | undefined };
    const events = this.#events;
    let index = events.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, events[parent] as typeof event)) break;
      events[index] = events[parent] as typeof event;
      index = parent;
    }
    events[index] = event;
    return event;
  }

  #take(): void {
    const events = this.#events;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= events.length) break;
      const right = events[child + 1];
      if (right !== undefined && isBefore(right, events[child] as typeof right)) child++;
      if (!isBefore(events[child] as typeof last, last)) break;
      events[index] = events[child] as typeof last;
      index = child;
    }
    events[index] = last;
  }
}

function isBefore(
  a: { readonly at: number; readonly order: number },
  b: { readonly at: number; readonly order: number },
): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Answers lead to the next requests within a few turns of the microtask queue. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await undefined;
}

export const taken: Posted = { kind: "accepted" };
export const refused: Posted = { kind: "refused", status: 400, message: "HTTP 400: no" };

/** Refuses a request with an event more than an hour older than the newest accepted one, as Loki does. */
export function lokiBackend(isBad: (log: Log) => boolean = () => false): Backend {
  let newest = Number.NEGATIVE_INFINITY;
  return (logs) => {
    if (logs.some((log) => isBad(log) || log.time < newest - hour)) return refused;
    for (const { time } of logs) newest = Math.max(newest, time);
    return taken;
  };
}
