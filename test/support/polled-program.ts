/**
 * Journal, ledger, pipeline and collectors on a stand-in for Tailscale, with a settable clock, as a program that can be killed
 * at any point.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LedgerMetric } from "../../src/catalogue/metrics.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { Config } from "../../src/config/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { Outcome } from "../../src/pipeline/index.ts";
import { LogCollector } from "../../src/receivers/poller/collector.ts";
import type { WindowPolicy } from "../../src/receivers/poller/windows.ts";
import { recordOfLine } from "../../src/records/envelope.ts";
import type { RawRecord, RecordType } from "../../src/records/types.ts";
import { tailscaleSettings } from "./api-client.ts";
import { createTailscaleApi } from "../../src/tailscale/index.ts";
import type { TailscaleApi } from "../../src/tailscale/index.ts";
import type { Tailnet, TailnetRecord } from "./tailnet/index.ts";
import { configAt, openStore, type Store } from "./store.ts";

/**
 * How logs arrive, as in the setting `source`; `stream` first polls the records up to the start that an earlier poll left
 * unread.
 */
export type Source = "poll" | "stream" | "both";

export const policy: WindowPolicy = { lag: 120, lookback: 600, maxWindow: 1800, overlap: 300, retention: 30 * 86_400 };

const decoder = new TextDecoder();

export interface PolledProgram {
  /** The program's clock, in epoch milliseconds. */
  now: number;
  readonly journal: Journal;
  readonly api: TailscaleApi;
  /** Stops like a kill: uncommitted data is lost, and so is what the ledger has not folded. */
  kill(): void;
  start(source: Source): Promise<void>;
  /** Polls every window of both logs until a request fails. Returns true if none failed. */
  poll(): Promise<boolean>;
  /** Starts polling and aborts after `afterMs`. */
  abortedPoll(afterMs: number): Promise<void>;
  /** Delivers records as the stream does, in one request. */
  stream(records: readonly TailnetRecord[]): Promise<Outcome>;
  /** Runs what the timers run. */
  tick(): Promise<void>;
  sum(metric: LedgerMetric, attributes?: Readonly<Record<string, string>>): number;
  /** The name of every accepted record, once per time it was accepted. */
  accepted(): Promise<readonly string[]>;
  remove(): void;
}

/** `dedup`: key limits, including values the settings would not allow. */
export function createPolledProgram(
  tailnet: Tailnet,
  clockAt: { now: number },
  dedup: Partial<Config["dedup"]> = {},
): PolledProgram {
  const parent = mkdtempSync(join(tmpdir(), "polled-program-"));
  const clock = (): number => clockAt.now;
  let running: { readonly store: Store; readonly api: TailscaleApi; collectors: readonly LogCollector[] } | undefined;

  const current = () => {
    if (running === undefined) throw new Error("it was not started");
    return running;
  };

  function configOf(source: Source): Config {
    const set = [
      "tailscale.auth.apikey=tskey-api-test",
      `collectors.flowlogs.replay_overlap=${policy.overlap}s`,
      `collectors.auditlogs.replay_overlap=${policy.overlap}s`,
      `streaming.enabled=${source !== "poll"}`,
      "streaming.token=a-token",
      "dedup.audit_window=6h",
      "state.max_bytes=512MiB",
      "state.retention=365d",
      "cardinality.flow.metrics_mode=both",
      "cardinality.series_ttl=365d",
    ];
    const config = configAt(join(parent, "state"), set);
    return { ...config, dedup: { ...config.dedup, ...dedup } };
  }

  async function start(source: Source): Promise<void> {
    const store = await openStore(configOf(source), clock);
    const { journal, pipeline } = store;
    const api = createTailscaleApi(
      tailscaleSettings({
        url: tailnet.url,
        tailnet: tailnet.tailnet,
        auth: { kind: "apikey", key: tailnet.apiKey },
        http: { timeoutMs: 60_000, maxAttempts: 1 },
      }),
      { fetch, clock, random: () => 0.5, telemetry: silentTelemetry, sleep: () => Promise.resolve() },
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
    running = { store, api, collectors };
  }

  async function poll(signal: AbortSignal): Promise<boolean> {
    const program = current();
    for (const collector of program.collectors) {
      try {
        let step = await collector.step(signal);
        while (step === "behind") step = await collector.step(signal);
        if (step === "over") program.collectors = program.collectors.filter((one) => one !== collector);
      } catch {
        return false;
      }
    }
    return true;
  }

  function kill(): void {
    running?.store.close();
    running = undefined;
  }

  return {
    get now() {
      return clockAt.now;
    },
    set now(at) {
      clockAt.now = at;
    },
    get journal() {
      return current().store.journal;
    },
    get api() {
      return current().api;
    },
    start,
    kill,
    poll: () => poll(new AbortController().signal),
    async abortedPoll(afterMs) {
      const giveUp = new AbortController();
      const timer = setTimeout(() => giveUp.abort(), afterMs);
      await poll(giveUp.signal);
      clearTimeout(timer);
    },
    async stream(records) {
      const batch = current().store.pipeline.open({ source: "stream", receivedAt: clock() });
      for (const { streamed } of records) {
        const bytes = Buffer.from(JSON.stringify(streamed));
        if (batch.scan(bytes, 0, bytes.length) < 0) Array.from(batch.add(bytes, 0, bytes.length));
      }
      return batch.commit(100);
    },
    async tick() {
      const { ledger, journal } = current().store;
      await ledger.fold(clock());
      await journal.maintain();
    },
    sum: (metric, attributes) => current().store.ledger.sum(metric, attributes),
    async accepted() {
      const reader = current().store.journal.openReader();
      try {
        return (await reader.read(1, { rows: 100_000, bytes: Number.MAX_SAFE_INTEGER }))
          .flatMap(({ type, text }) =>
            type === "flow" || type === "audit" ? recordsOf(type, decoder.decode(text)) : [],
          )
          .map(({ value }) => nameOf(value));
      } finally {
        reader.close();
      }
    },
    remove() {
      kill();
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

function recordsOf(type: RecordType, text: string): readonly RawRecord[] {
  return text.split("\n").map((line) => recordOfLine(Buffer.from(line), type));
}

/** The name of a record, streamed or polled: its node or event group, which tests make unique. */
export function nameOf(event: Readonly<Record<string, unknown>>): string {
  return String(event["nodeId"] ?? event["eventGroupID"]);
}
