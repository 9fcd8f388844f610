/** Log delivery in the worker: fresh logs from the journal's cursor on, and behind them what is replayed or retried. */
import type { InstrumentationScope } from "@opentelemetry/core";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { isDamage } from "../journal/sqlite/damage.ts";
import type { Row } from "../journal/index.ts";
import { openSqliteReader } from "../journal/sqlite/index.ts";
import { takeTruncatedTexts } from "../processors/bounds.ts";
import { EndBook } from "../processors/ends.ts";
import { FlowDescriber } from "../processors/flow.ts";
import type { Directory } from "../processors/index.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import type { Encoding } from "./answer.ts";
import { Delivery, type Random, type Timer } from "./delivery/index.ts";
import { Redelivering, shareChannel } from "./delivery/redelivery.ts";
import { HandedRows } from "./handed-rows.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { RequestChannel } from "./requests.ts";
import { type RowContext, RowSource } from "./rows.ts";
import { marked, marksOf, replayed } from "./selection.ts";
import type { Sender } from "./sender.ts";

export interface LogExportDeps {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly scope: InstrumentationScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  readonly say: (message: FromWorker) => void;
}

export interface LogExport {
  readonly redelivering: Redelivering;
  /** More rows are committed; these of them need not be read. */
  wake(rows: readonly Row[]): void;
  useDirectory(directory: Directory | undefined): void;
  /** One last delivery, cut off at the deadline. Safe twice. */
  stop(deadlineMs: number): Promise<void>;
}

/** Begins to deliver. @throws {Error} if the journal cannot be opened. Damage is reported first. */
export function startLogs(
  { setup, cursor }: Extract<ToWorker, { kind: "start" }>,
  { send, encoding, scope, say, ...shared }: LogExportDeps,
): LogExport {
  const { settings, logs: limits, resources } = setup;
  if (limits === undefined) throw new Error("logs are not exported");
  const reader = openSqliteReader(setup.location, (error) => {
    if (isDamage(error)) say({ kind: "damaged", reason: error instanceof Error ? error.message : String(error) });
  });
  const claims = new ClaimTable();
  const describer = new FlowDescriber(settings, new EndBook(settings));
  const context: RowContext = { decoder: new FlowRowDecoder(claims), describer, settings };
  const requests = new RequestChannel(limits, { send, encoding, describer, resource: resources.logs, scope });
  const channel = shareChannel(requests, limits.concurrency, shared.timer);
  const handed = new HandedRows(reader);
  const freshRows = new RowSource(handed, context);

  const fresh = new Delivery("logs", cursor, {
    ...shared,
    source: freshRows,
    channel: channel.fresh,
    concurrency: limits.concurrency,
    onProgress(progress) {
      say({ kind: "progress", progress });
      const texts = takeTruncatedTexts();
      if (texts > 0) say({ kind: "truncated", texts });
    },
    onState(state) {
      channel.freshIs(state);
      say({ kind: "state", state });
    },
  });
  const redelivering = new Redelivering({
    ...shared,
    channel: channel.again,
    concurrency: Math.max(1, limits.concurrency - 1),
    open(redelivery) {
      const marks = redelivery.name === "retry" ? marksOf(reader, redelivery) : [];
      const selection = redelivery.name === "retry" ? marked(marks) : replayed(redelivery);
      return { marks, source: new RowSource(reader, context, selection) };
    },
    onProgress: (progress) => say({ kind: "redelivered", progress }),
    onState: (name, state) => say({ kind: "redelivery_state", name, state }),
  });
  let stopping: Promise<void> | undefined;

  async function stop(deadlineMs: number): Promise<void> {
    await Promise.all([redelivering.stop(deadlineMs), fresh.stop(deadlineMs)]);
    reader.close();
  }

  fresh.start();
  return {
    redelivering,
    wake(rows) {
      handed.offer(rows);
      fresh.wake();
    },
    useDirectory(directory) {
      settings.directory.current = directory;
      freshRows.forget();
    },
    stop: (deadlineMs) => (stopping ??= stop(deadlineMs)),
  };
}
