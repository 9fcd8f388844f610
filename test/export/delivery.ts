/** Parts for tests of log delivery: rows with numbered events, time that runs a thousand times faster, a delivery that records what it says. */
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import type { Answer } from "../../src/export/answer.ts";
import { type DeliverySource, journalSource } from "../../src/export/delivery-source.ts";
import { createLogEncoder } from "../../src/export/log-encoder.ts";
import type { DeliveryState } from "../../src/export/delivery-state.ts";
import { LogDelivery, type LogDeliveryOptions } from "../../src/export/logs.ts";
import { type Channel, createChannel } from "../../src/export/protocol.ts";
import { resourceOf, scopeOf } from "../../src/export/resource.ts";
import { createSender, type Destination } from "../../src/export/sender.ts";
import {
  type JournalReader,
  type JournalRow,
  type LogCursor,
  type QuarantineItem,
  startOfJournal,
} from "../../src/journal/types.ts";
import { type Logger, silentLogger } from "../../src/lib/logger.ts";

/** A record of a test: the names of its events. `!` in a name makes describing it throw. */
export type TestRecord = readonly string[];

export function rowOf(seq: number, records: readonly TestRecord[]): JournalRow {
  return {
    seq,
    acceptedAt: 18e11,
    source: "stream",
    type: "flow",
    records: records.length,
    text: records.map((events) => JSON.stringify(events)).join("\n"),
    flags: undefined,
    tally: undefined,
    damage: undefined,
  };
}

/** Rows that grow while they are read. */
export function readerOf(rows: readonly JournalRow[]): JournalReader {
  return {
    read: (fromSeq, limit) => rows.filter(({ seq }) => seq >= fromSeq).slice(0, limit.rows),
    close() {},
  };
}

export function describeTestLine(line: string): LogEvent[] {
  const names = JSON.parse(line) as string[];
  if (names.some((name) => name.includes("!"))) throw new Error("this record cannot be described");
  return names.map((name) => ({
    name: "tailscale.network.flow",
    severity: name.startsWith("warn") ? "WARN" : "INFO",
    time: [1_800_000_000, 123_456_789],
    observedTime: [1_800_000_001, 5],
    body: name,
    shared: [],
    attributes: { "source.port": 443, "tailscale.src.node": "web", "tailscale.src.tags": ["tag:a", "tag:b"] },
  }));
}

export function sourceOf(rows: readonly JournalRow[]): DeliverySource {
  return journalSource(readerOf(rows), describeTestLine);
}

/** A second takes a millisecond. */
const speed = 1_000;

export const fastClock = () => 1_800_000_000_000 + performance.now() * speed;

export function fastTimer(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs / speed);
  return () => clearTimeout(timer);
}

export function destinationAt(url: string, change: Partial<Destination> = {}): Destination {
  return { signal: "logs", url: `${url}/v1/logs`, headers: {}, compression: "gzip", timeoutMs: 5_000, ...change };
}

export interface TestDelivery {
  readonly delivery: LogDelivery;
  readonly rows: JournalRow[];
  readonly cursors: LogCursor[];
  readonly setAside: QuarantineItem[];
  readonly states: DeliveryState[];
  readonly cursor: LogCursor;
  /** Adds a row and tells the delivery. */
  commit(records: readonly TestRecord[]): void;
  /** Resolves once the cursor has reached the end of all rows. */
  drained(): Promise<void>;
  /** Resolves once the condition holds; checked at every cursor and state. */
  until(condition: () => boolean): Promise<void>;
}

export interface TestDeliverySettings extends Partial<LogDeliveryOptions> {
  readonly channel: Channel;
  readonly from?: LogCursor;
  readonly logger?: Logger;
}

export function startDelivery(rows: JournalRow[], settings: TestDeliverySettings): TestDelivery {
  const cursors: LogCursor[] = [];
  const setAside: QuarantineItem[] = [];
  const states: DeliveryState[] = [];
  const waiting = new Set<() => void>();
  const said = () => {
    for (const check of waiting) check();
  };
  const options = {
    maxRecords: settings.maxRecords ?? 8,
    maxBytes: settings.maxBytes ?? 4_194_304,
    concurrency: settings.concurrency ?? 2,
  };
  const delivery = new LogDelivery(settings.from ?? startOfJournal, options, {
    source: sourceOf(rows),
    channel: settings.channel,
    encode: createLogEncoder(resourceOf({ "service.name": "tailscale2otel" }), scopeOf("1.2.3")),
    clock: fastClock,
    random: Math.random,
    timer: fastTimer,
    logger: settings.logger ?? silentLogger,
    onProgress(advance) {
      cursors.push(advance.cursor);
      setAside.push(...advance.setAside);
      said();
    },
    onState(state) {
      states.push(state);
      said();
    },
  });
  const test: TestDelivery = {
    delivery,
    rows,
    cursors,
    setAside,
    states,
    get cursor() {
      return cursors.at(-1) ?? settings.from ?? startOfJournal;
    },
    commit(records) {
      const seq = (rows.at(-1)?.seq ?? 0) + 1;
      rows.push(rowOf(seq, records));
      delivery.wake(seq);
    },
    drained() {
      return test.until(() => test.cursor.seq > (rows.at(-1)?.seq ?? 0));
    },
    until(condition) {
      return new Promise((resolve) => {
        const check = () => {
          if (!condition()) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      });
    },
  };
  delivery.start(rows.at(-1)?.seq ?? 0);
  return test;
}

/** A channel over a real socket. */
export function channelTo(
  url: string,
  change: Partial<Destination> = {},
  encoding: "json" | "protobuf" = "json",
): Channel {
  const send = createSender(destinationAt(url, change), { fetch, clock: fastClock, onAnswer() {} });
  return createChannel(send, { signal: "logs", encoding, isSet: false }, silentLogger);
}

/** A channel without a socket: each request is answered by the function, which sees the events' names. */
export function channelOf(answerTo: (names: readonly string[]) => Answer | Promise<Answer>): Channel {
  return {
    encoding: "json",
    async post(encode) {
      const request = JSON.parse(new TextDecoder().decode(encode("json"))) as {
        resourceLogs: { scopeLogs: { logRecords: { body: { stringValue: string } }[] }[] }[];
      };
      const names = request.resourceLogs.flatMap(({ scopeLogs }) =>
        scopeLogs.flatMap(({ logRecords }) => logRecords.map(({ body }) => body.stringValue)),
      );
      await new Promise(setImmediate);
      return answerTo(names);
    },
  };
}

/** Records of so many events each, with running numbers: `e0`, `e1`, … */
export function numbered(sizes: readonly number[]): TestRecord[] {
  let next = 0;
  return sizes.map((size) => Array.from({ length: size }, () => `e${next++}`));
}
