/** Journal, ledger, pipeline and collectors over the stand-in of Tailscale, with a clock that the test holds: a program that can be ended anywhere. */
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { LedgerMetric } from "../../src/catalogue/metrics.ts";
import type { KeyLimits } from "../../src/journal/seen-keys.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline, incrementsOf, type Outcome } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import { LogCollector } from "../../src/receivers/poller/collector.ts";
import type { WindowPolicy } from "../../src/receivers/poller/windows.ts";
import { unwrap, type Unwrapped } from "../../src/records/envelope.ts";
import { createTailscaleApi } from "../../src/tailscale/index.ts";
import type { TailscaleApi } from "../../src/tailscale/types.ts";
import { createState, hourMs, mebibyte } from "./journal.ts";
import type { Tailnet, TailnetRecord } from "./tailnet/index.ts";

/** Which way the logs come in, as `source` has it; `stream` catches up what a poll has left behind. */
export type Source = "poll" | "stream" | "both";

export const policy: WindowPolicy = { lag: 120, lookback: 600, maxWindow: 1800, overlap: 300, retention: 30 * 86_400 };

const names = { collapseExternal: true };
const ledgerOptions = { metricsMode: "both", rollupTopN: 500, metricLimit: 10_000, idleFolds: 100_000 } as const;
const keptRows = { maxBytes: 512 * mebibyte, retentionMs: 10_000 * hourMs };

export interface PolledProgram {
  /** Ours; epoch milliseconds. */
  now: number;
  readonly journal: Journal;
  readonly api: TailscaleApi;
  /** Ends as by a kill: what was not committed is gone, and so is what the ledger has not folded. */
  kill(): void;
  start(source: Source): void;
  /** Reads every window that is there, of both logs, until an answer fails. `true`: nothing failed. */
  poll(): Promise<boolean>;
  /** Begins to poll, and gives up in the middle of it. */
  abortedPoll(afterMs: number): Promise<void>;
  /** As the stream brings them: one request. */
  stream(records: readonly TailnetRecord[]): Promise<Outcome>;
  /** What the timers do. */
  tick(): void;
  sum(metric: LedgerMetric, attributes?: Readonly<Record<string, string>>): number;
  /** Every record that was accepted, by its name, as often as it was. */
  accepted(): readonly string[];
  remove(): void;
}

export function createPolledProgram(
  tailnet: Tailnet,
  clockAt: { now: number },
  limits: Partial<KeyLimits> = {},
): PolledProgram {
  const state = createState();
  const limit = { windowMs: 6 * hourMs, maxKeys: 100_000, ...limits };
  let running: { journal: Journal; ledger: Ledger; api: TailscaleApi; collectors: LogCollector[]; source: Source };
  let pipeline: ReturnType<typeof createPipeline>;

  function start(source: Source): void {
    state.now = clockAt.now;
    const keyLimits = { flow: limit, audit: limit, webhook: limit, quarantined: limit };
    const overlap = { pollOverlapMs: policy.overlap * 1000 };
    const journal = state.open({
      ...keptRows,
      keyLimits: { ...keyLimits, flow: { ...limit, ...overlap }, audit: { ...limit, ...overlap } },
    });
    const ledger = new Ledger(ledgerOptions, 0);
    recover(journal, ledger, names, silentLogger);
    journal.onCommitted((batch) => incrementsOf(batch).forEach((increments) => ledger.add(increments)));
    pipeline = createPipeline(journal, names, { comparesFacts: false, isStreamed: source !== "poll" });
    const clock = () => state.now;
    const api = createTailscaleApi(
      {
        baseUrl: tailnet.url,
        tailnet: tailnet.tailnet,
        auth: { kind: "apikey", key: tailnet.apiKey },
        http: { timeoutMs: 10_000, maxAttempts: 1, rateLimit: 0 },
      },
      { fetch, clock, random: () => 0.5, telemetry: silentTelemetry },
    );
    const collectors = (["flow", "audit"] as const)
      .filter((type) => source !== "stream" || journal.pollCursor(type) !== undefined)
      .map(
        (type) =>
          new LogCollector(
            { type, policy, mode: source === "stream" ? "once" : "always" },
            { api, pipeline, journal, logger: silentLogger, clock },
          ),
      );
    running = { journal, ledger, api, collectors, source };
  }

  async function poll(signal: AbortSignal): Promise<boolean> {
    state.now = clockAt.now;
    for (const collector of running.collectors) {
      try {
        let step = await collector.step(signal);
        while (step === "behind") step = await collector.step(signal);
        if (step === "over")
          running = { ...running, collectors: running.collectors.filter((one) => one !== collector) };
      } catch {
        return false;
      }
    }
    return true;
  }

  return {
    get now() {
      return clockAt.now;
    },
    set now(at) {
      clockAt.now = at;
    },
    get journal() {
      return running.journal;
    },
    get api() {
      return running.api;
    },
    start,
    kill: () => running.journal.close(),
    poll: () => poll(new AbortController().signal),
    async abortedPoll(afterMs) {
      const giveUp = new AbortController();
      const timer = setTimeout(() => giveUp.abort(), afterMs);
      await poll(giveUp.signal);
      clearTimeout(timer);
    },
    async stream(records) {
      state.now = clockAt.now;
      const draft = pipeline.open({ source: "stream", receivedAt: state.now });
      const into: Unwrapped = { records: [], skipped: [] };
      for (const { streamed } of records) unwrap(streamed, JSON.stringify(streamed), into);
      draft.add(into.records);
      return await draft.commit(100);
    },
    tick() {
      state.now = clockAt.now;
      const { ledger, journal } = running;
      ledger.fold(state.now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
      journal.maintain();
    },
    sum: (metric, attributes) => running.ledger.sum(metric, attributes),
    accepted() {
      const reader = running.journal.openReader();
      try {
        return reader
          .read(1, { rows: 100_000, bytes: Number.MAX_SAFE_INTEGER })
          .flatMap(({ text }) => (text === "" ? [] : text.split("\n")))
          .map((line) => nameOf((JSON.parse(line) as { event: Record<string, unknown> }).event));
      } finally {
        reader.close();
      }
    },
    remove: () => state.remove(),
  };
}

/** The name of a record in either form: its node or its group, which a test gives each of its own. */
export function nameOf(event: Readonly<Record<string, unknown>>): string {
  return String(event["nodeId"] ?? event["eventGroupID"]);
}
