/** Keeps Tailscale's log streams pointed at the receiver, and compares what Tailscale says it sent with what arrived. */
import { createHmac, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { type Config, displayUrl } from "../config/index.ts";
import type { Journal } from "../journal/index.ts";
import { type Backoff, keepTrying, pause, type RetryDeps, waitAtMost } from "../lib/backoff.ts";
import { messageOf } from "../lib/system-error.ts";
import { zeroTime } from "../lib/rfc3339.ts";
import {
  createAttempts,
  type LogName,
  type LogStream,
  type LogStreamStatus,
  type LogStreamTarget,
  type TailscaleApi,
  type TailnetTrouble,
} from "../tailscale/index.ts";

export interface LogStreamsOptions {
  readonly logs: readonly LogName[];
  readonly target: LogStreamTarget;
  /** Time between two reads of the status, doubling from the first. */
  readonly checks?: Backoff;
  readonly backoff?: Backoff;
}

export interface LogStreamsDeps extends RetryDeps {
  readonly api: Pick<TailscaleApi, "logStream" | "putLogStream" | "logStreamStatus">;
  readonly telemetry: Telemetry;
  /** Stores a keyed digest of what each stream was last set to. */
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** Records of a log that the receiver has read so far, including duplicates and quarantined ones. */
  received(log: LogName): number;
}

export type LogStreams = ReturnType<typeof createLogStreams>;

export const logNames: readonly LogName[] = ["network", "configuration"];

const usualChecks: Backoff = { firstMs: 10_000, maxMs: 120_000 };
export const usualBackoff: Backoff = { firstMs: 2_000, maxMs: 300_000 };

/** `streaming.public_url`, and zstd unless `streaming.decompress` forces another compression. */
export function logStreamTargetOf({ streaming }: Pick<Config, "streaming">): LogStreamTarget {
  return {
    url: publicAddress(streaming.public_url, streaming.path),
    // Shown beside the address in Tailscale's admin console. The receiver checks only the token.
    user: "tailscale2otel",
    token: streaming.token,
    compressionFormat: streaming.decompress === "auto" ? "zstd" : streaming.decompress,
  };
}

/** The address that Tailscale sends to: `publicUrl`, with the receiver's path if it has none. */
export function publicAddress(publicUrl: string, receiverPath: string): string {
  const url = new URL(publicUrl);
  if (url.pathname === "/") url.pathname = receiverPath;
  return url.href;
}

/** True if two addresses are equal apart from the host's case, default ports and trailing slashes. */
export function isSameAddress(one: string, other: string): boolean {
  return normal(one) === normal(other);
}

/** True if a log stream sends to the HEC receiver at this address. */
export function isSentTo(url: string, stream: Pick<LogStream, "destinationType" | "url"> | undefined): boolean {
  return stream?.destinationType === "splunk" && isSameAddress(stream.url, url);
}

/** When Tailscale last sent something; `undefined` if it never has. */
export function activityOf({ lastActivity }: LogStreamStatus): string | undefined {
  return lastActivity === "" || lastActivity === zeroTime ? undefined : lastActivity;
}

export function createLogStreams(options: LogStreamsOptions, deps: LogStreamsDeps) {
  let { target } = options;
  let round: AbortController | undefined;
  const streams = options.logs.map((log) => ({ ...createStream(log, options, deps), last: Promise.resolve() }));

  /** A round begins when the previous one has ended, so that an old token never replaces a new one. */
  function begin(): void {
    round?.abort();
    const { signal } = (round = new AbortController());
    if (target.token === "") return;
    const wanted = target;
    for (const stream of streams) stream.last = stream.last.then(() => stream.run(wanted, signal));
  }

  return {
    /** The streams that could not be set at the last attempt. */
    get troubles(): readonly TailnetTrouble[] {
      return streams.flatMap(({ log, attempts: { failure } }) =>
        failure === undefined ? [] : [{ task: `${log} log stream` as const, ...failure }],
      );
    },
    /** Call it once the receiver listens. */
    start(): void {
      observeLogStreams(streams, deps.telemetry);
      begin();
    },
    /** Sets the streams again if the token differs. An empty token is ignored: Tailscale would send without one. */
    useToken(token: string): void {
      if (token === "" || token === target.token) return;
      target = { ...target, token };
      if (round !== undefined && !round.signal.aborted) begin();
    },
    /** Waits up to `deadlineMs` for a request in flight. May be called before `start`, and twice. */
    async stop(deadlineMs: number): Promise<void> {
      round?.abort();
      await waitAtMost(Promise.all(streams.map(({ last }) => last)), deadlineMs);
    },
  };
}

/** Observes Tailscale's own view of each stream, once it has been read. */
function observeLogStreams(
  streams: readonly { readonly log: LogName; readonly loss: LossCount }[],
  telemetry: Telemetry,
) {
  const reads = {
    "tailscale.logstream.entries_sent": ({ numEntriesSent = 0 }) => numEntriesSent,
    "tailscale.logstream.bytes_sent": ({ numBytesSent = 0 }) => numBytesSent,
    "tailscale.logstream.spoofed_entries": ({ numSpoofedEntries = 0 }) => numSpoofedEntries,
    "tailscale.logstream.requests": ({ numTotalRequests = 0 }) => numTotalRequests,
    "tailscale.logstream.requests_failed": ({ numFailedRequests = 0 }) => numFailedRequests,
    "tailscale.logstream.configured": () => 1,
    "tailscale.logstream.error": ({ lastError = "" }) => Number(lastError !== ""),
    "tailscale.logstream.last_activity": (status) => Date.parse(activityOf(status) ?? "") / 1000,
    "tailscale2otel.logstream.missing": (_, { missing }) => missing,
  } satisfies Record<string, (status: LogStreamStatus, loss: LossCount) => number | undefined>;
  for (const [metric, read] of Object.entries(reads) as [keyof typeof reads, (typeof reads)[keyof typeof reads]][])
    telemetry.observe(metric, () =>
      streams.flatMap(({ log, loss }) => {
        const value = loss.status && read(loss.status, loss);
        const attributes = { "tailscale.logstream.type": log };
        return value === undefined || Number.isNaN(value) ? [] : [{ value, attributes }];
      }),
    );
}

function createStream(log: LogName, options: LogStreamsOptions, deps: LogStreamsDeps) {
  const { api, journal, logger } = deps;
  const { backoff = usualBackoff, checks = usualChecks } = options;
  const stateName = `log_stream/${log}`;
  const loss = new LossCount();
  const attempts = createAttempts();

  async function reconcile(target: LogStreamTarget): Promise<true> {
    const present = await api.logStream(log, "set");
    const url = displayUrl(target.url);
    if (present !== undefined && isAsSet(present, target)) {
      logger.info(`the ${log} log stream already points to this receiver`, { url });
      return true;
    }
    if (present !== undefined) warnOfReplacement(present, target);
    await api.putLogStream(log, target);
    logger.info(`the ${log} log stream now points to this receiver`, { url, compression: target.compressionFormat });
    loss.reset();
    try {
      await journal.writeState(stateName, digestOf(target, randomBytes(saltBytes)));
    } catch (error) {
      const reason = messageOf(error);
      logger.warn(`the next start will set the ${log} log stream again: cannot store what it was set to`, { reason });
    }
    return true;
  }

  /** Tailscale never returns the token, so the digest of what was set last is compared too. */
  function isAsSet(present: LogStream, target: LogStreamTarget): boolean {
    const stored = journal.readState(stateName);
    const isAlike = present.user === target.user && present.compressionFormat === target.compressionFormat;
    if (!isAlike || !isSentTo(target.url, present) || stored === undefined) return false;
    return digestOf(target, stored.subarray(0, saltBytes)).equals(stored);
  }

  function warnOfReplacement(present: LogStream, target: LogStreamTarget): void {
    const { destinationType, url, user, compressionFormat } = present;
    const why = isSentTo(target.url, present)
      ? "setting it again: its token, user or compression may differ"
      : "replacing it: it points elsewhere";
    const was = { destination: destinationType, url: displayUrl(url), user, compression: compressionFormat };
    logger.warn(`the ${log} log stream: ${why}`, { ...was, by: displayUrl(target.url) });
  }

  async function run(target: LogStreamTarget, signal: AbortSignal): Promise<void> {
    const retry = { ...deps, signal };
    const set = attempts.noting(() => reconcile(target));
    if ((await keepTrying(`set the ${log} log stream`, set, { ...retry, backoff })) === undefined) return;
    const receivedBefore = deps.received(log);
    let isDelivering = false;
    let lastError = "";
    const check = async (): Promise<void> => {
      const received = deps.received(log);
      const status = await api.logStreamStatus(log);
      if (signal.aborted) return;
      loss.update(status, received);
      const { lastError: error = "" } = status;
      if (error !== lastError && error !== "") logger.warn(`Tailscale cannot deliver the ${log} log stream`, { error });
      lastError = error;
      if (isDelivering || received === receivedBefore) return;
      isDelivering = true;
      logger.info(`Tailscale delivers the ${log} log stream`, { activity: activityOf(status) });
    };
    for (let waitMs = checks.firstMs; !signal.aborted; waitMs = Math.min(waitMs * 2, checks.maxMs)) {
      await keepTrying(`read the status of the ${log} log stream`, check, { ...retry, backoff: checks });
      await pause(waitMs, signal);
    }
  }

  return { log, loss, attempts, run };
}

/** Compares Tailscale's count of entries sent with the receiver's count of records, since a baseline. */
export class LossCount {
  /** The last status read. */
  status: LogStreamStatus | undefined;
  /** Entries that Tailscale has sent since the baseline and that have not arrived here. Never below 0. */
  missing: number | undefined;
  #baseline: { readonly sent: number; readonly received: number } | undefined;

  /** `received`: the count just before the status was read. If Tailscale restarts its count, this is the new baseline. */
  update(status: LogStreamStatus, received: number): void {
    const { numEntriesSent: sent = 0 } = status;
    if (this.#baseline === undefined || sent < (this.status?.numEntriesSent ?? 0)) this.#baseline = { sent, received };
    this.status = status;
    this.missing = Math.max(0, sent - this.#baseline.sent - (received - this.#baseline.received));
  }

  /** Makes the next update the baseline. */
  reset(): void {
    this.#baseline = this.status = this.missing = undefined;
  }
}

const saltBytes = 16;

/** The salt, followed by a digest keyed with it. */
function digestOf({ url, user, token, compressionFormat }: LogStreamTarget, salt: Uint8Array): Buffer {
  const text = JSON.stringify([url, user, token, compressionFormat]);
  return Buffer.concat([salt, createHmac("sha256", salt).update(text).digest()]);
}

function normal(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url.href;
}
