/** Keeps Tailscale's log streams pointed at the receiver, and compares what Tailscale says it sent with what arrived. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { displayUrl } from "../config/index.ts";
import { type Backoff, keepTrying, pause, type RetryDeps, waitAtMost } from "../lib/backoff.ts";
import { zeroTime } from "../lib/rfc3339.ts";
import type { LogName, LogStream, LogStreamStatus, LogStreamTarget, TailscaleApi } from "../tailscale/index.ts";
import { fingerprintsIn, isSameAddress, judgeLogStream } from "./log-stream-target.ts";

export interface LogStreamsOptions {
  readonly logs: readonly LogName[];
  readonly target: LogStreamTarget;
  /** Where `log-streams.json` is. */
  readonly statePath: string;
  /** Between two reads of the status, before the first delivery and after it. */
  readonly looks?: { readonly firstMs: number; readonly laterMs: number };
  readonly backoff?: Backoff;
}

export interface LogStreamsDeps extends RetryDeps {
  readonly api: Pick<TailscaleApi, "logStream" | "putLogStream" | "logStreamStatus">;
  readonly telemetry: Telemetry;
  /** Records of a log that the receiver has read so far, including duplicates and quarantined ones. */
  received(log: LogName): number;
}

export interface LogStreams {
  /** Call it once the receiver listens. */
  start(): void;
  /** Sets the streams again if the token differs. An empty token is ignored: Tailscale would send without one. */
  useToken(token: string): void;
  /** Waits for a request in flight, at most `deadlineMs`. Safe before `start`, and twice. */
  stop(deadlineMs: number): Promise<void>;
}

const usualLooks = { firstMs: 10_000, laterMs: 120_000 };
export const usualBackoff: Backoff = { firstMs: 2_000, maxMs: 300_000 };

export function createLogStreams(options: LogStreamsOptions, deps: LogStreamsDeps): LogStreams {
  let { target } = options;
  let round: AbortController | undefined;
  const keepers = options.logs.map((log) => ({ ...createKeeper(log, options, deps), last: Promise.resolve() }));

  /** A round begins when the one before has ended, so that an old token is never put after a new one. */
  function begin(): void {
    round?.abort();
    const { signal } = (round = new AbortController());
    if (target.token === "") return;
    const wanted = target;
    for (const keeper of keepers) keeper.last = keeper.last.then(() => keeper.run(wanted, signal));
  }

  return {
    start() {
      const gauge = (read: (loss: LossCount) => number | undefined) => () =>
        keepers.flatMap(({ log, loss }) => {
          const value = read(loss);
          return value === undefined ? [] : [{ value, attributes: { "tailscale.logstream.type": log } }];
        });
      const { telemetry } = deps;
      telemetry.observe(
        "tailscale2otel.logstream.entries_sent",
        gauge(({ status }) => status && (status.numEntriesSent ?? 0)),
      );
      telemetry.observe(
        "tailscale2otel.logstream.requests_failed",
        gauge(({ status }) => status && (status.numFailedRequests ?? 0)),
      );
      telemetry.observe(
        "tailscale2otel.logstream.missing",
        gauge(({ missing }) => missing),
      );
      begin();
    },
    useToken(token) {
      if (token === "" || token === target.token) return;
      target = { ...target, token };
      if (round !== undefined && !round.signal.aborted) begin();
    },
    async stop(deadlineMs) {
      round?.abort();
      await waitAtMost(Promise.all(keepers.map(({ last }) => last)), deadlineMs);
    },
  };
}

function createKeeper(log: LogName, { statePath, ...options }: LogStreamsOptions, deps: LogStreamsDeps) {
  const { api, logger } = deps;
  const { backoff = usualBackoff, looks = usualLooks } = options;
  const fingerprints = fingerprintsIn(statePath);
  const loss = new LossCount();

  /** What the stream before did last is not a delivery of the new one. */
  let activityBefore: string | undefined;

  async function settle(target: LogStreamTarget): Promise<true> {
    const present = await api.logStream(log);
    const url = displayUrl(target.url);
    activityBefore = undefined;
    if (judgeLogStream(log, present, target, fingerprints) === "as_put") {
      logger.info(`the ${log} log stream already points to this receiver`, { url });
      return true;
    }
    if (present !== undefined) {
      activityBefore = await api.logStreamStatus(log).then(activityOf, () => undefined);
      warnOfReplacement(present, target);
    }
    await api.putLogStream(log, target);
    logger.info(`the ${log} log stream now points to this receiver`, { url, compression: target.compressionFormat });
    loss.reset();
    try {
      fingerprints.keep(log, target);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn(`the next start will set the ${log} log stream again: cannot write log-streams.json`, { reason });
    }
    return true;
  }

  function warnOfReplacement({ destinationType, url, user, compressionFormat }: LogStream, to: LogStreamTarget): void {
    const isOurs = destinationType === "splunk" && isSameAddress(url, to.url);
    const why = isOurs
      ? "setting it again: its token, user or compression may differ"
      : "replacing it: it points elsewhere";
    const was = { destination: destinationType, url: displayUrl(url), user, compression: compressionFormat };
    logger.warn(`the ${log} log stream: ${why}`, { ...was, by: displayUrl(to.url) });
  }

  async function run(target: LogStreamTarget, signal: AbortSignal): Promise<void> {
    const retry = { ...deps, signal };
    if ((await keepTrying(`set the ${log} log stream`, () => settle(target), { ...retry, backoff })) === undefined)
      return;
    let isDelivering = false;
    let lastError = "";
    const look = async (): Promise<void> => {
      const received = deps.received(log);
      const status = await api.logStreamStatus(log);
      if (signal.aborted) return;
      loss.update(status, received);
      const { lastError: error = "" } = status;
      if (error !== lastError && error !== "") logger.warn(`Tailscale cannot deliver the ${log} log stream`, { error });
      lastError = error;
      const activity = activityOf(status);
      if (isDelivering || activity === undefined || activity === activityBefore) return;
      isDelivering = true;
      logger.info(`Tailscale delivers the ${log} log stream`, { activity });
    };
    const lookBackoff = { firstMs: looks.firstMs, maxMs: looks.laterMs };
    while (!signal.aborted) {
      await keepTrying(`read the status of the ${log} log stream`, look, { ...retry, backoff: lookBackoff });
      await pause(isDelivering ? looks.laterMs : looks.firstMs, signal);
    }
  }

  return { log, loss, run };
}

/** Tailscale's count of entries sent against ours of records received, since a baseline. */
export class LossCount {
  /** The last one read. */
  status: LogStreamStatus | undefined;
  /** Entries that Tailscale has sent since the baseline and that never arrived here. Never below 0. */
  missing: number | undefined;
  #baseline: { readonly sent: number; readonly received: number } | undefined;

  /** `received` as of just before the status was read. If Tailscale counts from 0 again, that is the new baseline. */
  update(status: LogStreamStatus, received: number): void {
    const { numEntriesSent: sent = 0 } = status;
    if (this.#baseline === undefined || sent < (this.status?.numEntriesSent ?? 0)) this.#baseline = { sent, received };
    this.status = status;
    this.missing = Math.max(0, sent - this.#baseline.sent - (received - this.#baseline.received));
  }

  /** The next update is the baseline. */
  reset(): void {
    this.#baseline = this.status = this.missing = undefined;
  }
}

/** When Tailscale last sent something; `undefined` if it never has. */
export function activityOf({ lastActivity }: LogStreamStatus): string | undefined {
  return lastActivity === "" || lastActivity === zeroTime ? undefined : lastActivity;
}
