/**
 * Keeps Tailscale's log streams set to the receiver: looks first, puts what differs, and reads their status. Nothing waits
 * for it, and it never gives up.
 */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { displayUrl } from "../config/index.ts";
import type { Logger } from "../lib/logger.ts";
import { fingerprintsIn } from "./fingerprint.ts";
import { judgeLogStream } from "./log-stream-setting.ts";
import { activityOf, createLogStreamAccount, type LogStreamAccount } from "./log-stream-view.ts";
import { createComplaints, keepTrying, type PatienceDeps, pause, usualWaits, type Waits } from "./patience.ts";
import { isSameAddress } from "./public-address.ts";
import type { LogName, LogStream, LogStreamTarget, TailscaleApi } from "./types.ts";

export interface LogStreamsOptions {
  readonly logs: readonly LogName[];
  readonly target: LogStreamTarget;
  readonly stateDirectory: string;
  /** Between two looks at the status, before the first delivery and after it. */
  readonly looks?: { readonly firstMs: number; readonly laterMs: number };
  readonly waits?: Waits;
}

export interface LogStreamsDeps extends PatienceDeps {
  readonly api: Pick<TailscaleApi, "logStream" | "putLogStream" | "logStreamStatus">;
  readonly telemetry: Telemetry;
  /** Records of a log that the receiver has taken so far, duplicates and quarantined ones included. */
  taken(log: LogName): number;
}

export interface LogStreams {
  /** The receiver listens. */
  start(): void;
  /** Where it differs, it is put. */
  useToken(token: string): void;
  /** Waits for a request that is under way, at most `deadlineMs`. Safe before `start`, and twice. */
  stop(deadlineMs: number): Promise<void>;
}

const usualLooks = { firstMs: 10_000, laterMs: 120_000 };

export function createLogStreams(options: LogStreamsOptions, deps: LogStreamsDeps): LogStreams {
  const { logs } = options;
  const keepers = logs.map((log) => createKeeper(log, options, deps));
  let { target } = options;
  let round: AbortController | undefined;

  function begin(): void {
    round?.abort();
    round = new AbortController();
    for (const keeper of keepers) keeper.begin(target, round.signal);
  }

  return {
    start() {
      observe(keepers, deps.telemetry);
      begin();
    },
    useToken(token) {
      if (token === target.token) return;
      target = { ...target, token };
      if (round !== undefined && !round.signal.aborted) begin();
    },
    async stop(deadlineMs) {
      round?.abort();
      const ended = Promise.all(keepers.map((keeper) => keeper.ended()));
      const late = new AbortController();
      await Promise.race([ended, pause(deadlineMs, late.signal)]);
      late.abort();
    },
  };
}

interface Keeper {
  readonly log: LogName;
  readonly account: LogStreamAccount;
  /** Begins when the round before has ended, so that an older token is never put after a newer one. */
  begin(target: LogStreamTarget, signal: AbortSignal): void;
  ended(): Promise<void>;
}

function createKeeper(log: LogName, options: LogStreamsOptions, deps: LogStreamsDeps): Keeper {
  const { api, logger } = deps;
  const { waits = usualWaits, looks = usualLooks } = options;
  const fingerprints = fingerprintsIn(options.stateDirectory);
  const account = createLogStreamAccount();
  const complaints = createComplaints(`the status of the ${log} log stream cannot be read`, deps);
  let last = Promise.resolve();

  async function run(target: LogStreamTarget, signal: AbortSignal): Promise<void> {
    const what = `the ${log} log stream cannot be set`;
    const settled = await keepTrying(what, () => settle(target), { ...deps, waits, signal });
    if (settled === undefined) return;
    if (settled.isPut) account.beginAnew();
    await follow(settled.activityBefore, signal);
  }

  async function settle(target: LogStreamTarget): Promise<Settled> {
    const present = await api.logStream(log);
    const verdict = judgeLogStream(log, present, target, fingerprints);
    if (verdict === "as_put") {
      logger.info(`the ${log} log stream is set to this receiver already`, { url: displayUrl(target.url) });
      return { isPut: false, activityBefore: undefined };
    }
    const activityBefore = present === undefined ? undefined : await activityNow();
    if (present !== undefined) warnOfReplacement(logger, log, present, target);
    await api.putLogStream(log, target);
    logger.info(`the ${log} log stream is set to this receiver`, {
      url: displayUrl(target.url),
      compression: target.compressionFormat,
    });
    remember(target);
    return { isPut: true, activityBefore };
  }

  /** What the stream before did last, so that it is not taken for a delivery of the new one. */
  async function activityNow(): Promise<string | undefined> {
    try {
      return activityOf(await api.logStreamStatus(log));
    } catch {
      return undefined;
    }
  }

  function remember(target: LogStreamTarget): void {
    try {
      fingerprints.keep(log, target);
    } catch (error) {
      logger.warn(`the ${log} log stream will be set again at the next start: its fingerprint cannot be kept`, {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }

  async function follow(activityBefore: string | undefined, signal: AbortSignal): Promise<void> {
    let isDelivering = false;
    let lastError = "";
    while (!signal.aborted) {
      try {
        const taken = deps.taken(log);
        const status = await api.logStreamStatus(log);
        complaints.succeed();
        account.look(status, taken);
        if (status.lastError !== lastError && status.lastError !== "")
          logger.warn(`Tailscale has trouble with the ${log} log stream`, { error: status.lastError });
        lastError = status.lastError;
        const activity = activityOf(status);
        if (!isDelivering && activity !== undefined && activity !== activityBefore) {
          isDelivering = true;
          logger.info(`Tailscale delivers the ${log} log stream`, { activity });
        }
      } catch (error) {
        if (!signal.aborted) complaints.fail(error);
      }
      await pause(isDelivering ? looks.laterMs : looks.firstMs, signal);
    }
  }

  return {
    log,
    account,
    begin(target, signal) {
      last = last.then(() => run(target, signal));
    },
    ended: () => last,
  };
}

interface Settled {
  readonly isPut: boolean;
  readonly activityBefore: string | undefined;
}

function warnOfReplacement(logger: Logger, log: LogName, present: LogStream, target: LogStreamTarget): void {
  const { destinationType, url, user, compressionFormat } = present;
  const fields = { destination: destinationType, url: displayUrl(url), user, compression: compressionFormat };
  const isOurs = destinationType === "splunk" && isSameAddress(url, target.url);
  if (isOurs) logger.warn(`the ${log} log stream is put again: its token may be another`, fields);
  else logger.warn(`the ${log} log stream went elsewhere, and is replaced`, { ...fields, by: displayUrl(target.url) });
}

function observe(keepers: readonly Keeper[], telemetry: Telemetry): void {
  const read = (member: "entriesSent" | "requestsFailed" | "missing") => () =>
    keepers.flatMap(({ log, account: { view } }) =>
      view === undefined ? [] : [{ value: view[member], attributes: { "tailscale.logstream.type": log } }],
    );
  telemetry.observe("tailscale2otel.logstream.entries_sent", read("entriesSent"));
  telemetry.observe("tailscale2otel.logstream.requests_failed", read("requestsFailed"));
  telemetry.observe("tailscale2otel.logstream.missing", read("missing"));
}
