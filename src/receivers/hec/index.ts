/**
 * The HEC stream receiver. A request goes through credential → admission → body → semaphore → inflate and scan → commit, and
 * is answered 200 only once everything in it is on disk.
 */
import { type Config, defaultMaxBodyBytes } from "../../config/index.ts";
import { Refusal } from "../../errors.ts";
import { createSecretCheck, isFromBrowser, ownHostsOf, readAuthorization } from "../../http/auth.ts";
import type { Exchange, HttpAnswer } from "../../http/exchange.ts";
import { type Admission, createLimiter } from "../../http/limiter.ts";
import type { Route } from "../../http/router.ts";
import type { Compression } from "../../runtime/decompress.ts";
import { freeBuffer } from "../../runtime/process.ts";
import { type Answer, createAnswering, type ReceiverDeps, withinDeadline, withTrailingSlash } from "../answers.ts";
import { createPauses } from "../pauses.ts";
import { type BodyLimit, readBodyInto } from "./body.ts";
import { hecAnswers, type HecAnswerName, hecRefusals, hecResponse } from "./protocol.ts";

export type HecHealth = "ok" | "full" | "draining";

export interface HecReceiverDeps extends ReceiverDeps {
  /** What the health endpoint says. */
  health(): HecHealth;
}

export interface HecReceiver {
  readonly routes: readonly Route[];
  /** The next request is checked against these. */
  useTokens(token: string, tokenPrevious: string): void;
  /** Refuses new requests with code 23; resolves when those in flight are done. Safe twice. */
  drain(): Promise<void>;
}

export const defaultPath = "/services/collector/event";

/** What HEC clients post to when they are given no path of their own; accepted with the default path only. */
const aliases = ["/services/collector", "/services/collector/event/1.0"];

/** Probed by clients and load balancers, independent of the path for records. */
export const healthPaths = ["/services/collector/health", "/services/collector/health/1.0"].flatMap(withTrailingSlash);

/** Where records may be posted to. */
export function ingestPaths(path: string): readonly string[] {
  const paths = withTrailingSlash(path);
  return paths[0] === defaultPath ? [...paths, ...aliases.flatMap(withTrailingSlash)] : paths;
}

/** Requests whose body is being read, or waits to be worked on, at once. */
export const maxReading = 256;

export function createHecReceiver(settings: Config["streaming"], deps: HecReceiverDeps): HecReceiver {
  const { telemetry, logger, clock, pipeline } = deps;
  const timeoutMs = settings.request_timeout;
  const limit = bodyLimit(settings);
  const limiter = createLimiter(
    { maxReading, maxBytes: settings.max_inflight_bytes, maxWorking: settings.max_concurrent_requests },
    (change) => telemetry.add("tailscale.stream.inflight", change, {}),
  );
  const largeLimiter = createLimiter({ maxReading: Number.POSITIVE_INFINITY, maxBytes: 0, maxWorking: 1 });
  const answering = createAnswering<HecAnswerName>({
    subject: "stream request",
    rows: hecAnswers,
    refusals: hecRefusals,
    logger,
    clock,
  });
  const pauses = createPauses();
  const ownHosts = ownHostsOf(settings.public_url);
  let authenticate = createAuthentication(settings.token, settings.token_previous, ownHosts);
  let isDraining = false;

  async function ingest(exchange: Exchange): Promise<HttpAnswer> {
    const beganMs = performance.now();
    const answer = await answering(exchange, answerTo(exchange));
    const { rejected } = hecAnswers[answer.name];
    if (rejected !== undefined) telemetry.add("tailscale.stream.rejected", 1, { reason: rejected });
    telemetry.record("tailscale.stream.request.duration", (performance.now() - beganMs) / 1000, {});
    return hecResponse(answer);
  }

  async function answerTo(exchange: Exchange): Promise<Answer<HecAnswerName>> {
    const denied = authenticate(exchange);
    if (denied !== undefined) return { name: denied };
    if (isDraining) return { name: "shuttingDown" };
    const admission = limiter.enter(exchange.peer);
    let isHandedOver = false;
    try {
      const receivedAt = clock();
      const beganMs = performance.now();
      const compression = compressionOf(settings.decompress, exchange.request.headers.get("content-encoding"));
      const body = await exchange.readBody({ ...limit, timeoutMs, admission });
      telemetry.record("tailscale.stream.request.size", body.bytes, {});
      await admission.work(timeoutMs - (performance.now() - beganMs));
      isHandedOver = true;
      return await withinDeadline(timeoutMs, (checkDeadline) =>
        commit({ receivedAt, body, compression, admission, checkDeadline }).finally(() => admission.leave()),
      );
    } finally {
      if (!isHandedOver) admission.leave();
    }
  }

  async function commit({
    receivedAt,
    body,
    compression,
    admission,
    checkDeadline,
  }: Job): Promise<Answer<HecAnswerName>> {
    const batch = pipeline.open({ source: "stream", receivedAt });
    const large = largeLimiter.enter("");
    const enterLarge = (): Promise<void> => large.work(timeoutMs);
    try {
      const reading = { ...limit, compression, admission, pauses: pauses.open(), enterLarge, checkDeadline };
      const bytes = await readBodyInto(batch, body, reading);
      if (bytes === undefined) return { name: "noData" };
      checkDeadline();
      await batch.commit(bytes);
      body.chunks.forEach(freeBuffer);
      return { name: "success" };
    } finally {
      batch.drop();
      large.leave();
    }
  }

  function health(): HttpAnswer {
    const state = isDraining ? "draining" : deps.health();
    return hecResponse({ name: ({ ok: "healthy", full: "queuesFull", draining: "shuttingDown" } as const)[state] });
  }

  return {
    routes: [
      ...ingestPaths(settings.path).map((path): Route => ({ path, methods: { POST: ingest } })),
      ...healthPaths.map((path): Route => ({ path, methods: { GET: health } })),
    ],
    useTokens(token, tokenPrevious) {
      authenticate = createAuthentication(token, tokenPrevious, ownHosts);
    },
    async drain() {
      isDraining = true;
      await limiter.idle();
    },
  };
}

/** A body that has been read and may be worked on. */
interface Job {
  readonly receivedAt: number;
  readonly body: Awaited<ReturnType<Exchange["readBody"]>>;
  readonly compression: Compression | undefined;
  readonly admission: Admission;
  readonly checkDeadline: () => void;
}

/** Before a byte of the body is read: the answer to a request that may not send, or nothing. */
function createAuthentication(token: string, tokenPrevious: string, ownHosts: readonly string[]) {
  const isToken = createSecretCheck([token, tokenPrevious]);
  return (exchange: Exchange): HecAnswerName | undefined => {
    if (token === "" && tokenPrevious === "") return isFromBrowser(exchange, ownHosts) ? "crossSite" : undefined;
    const credential = readAuthorization(exchange.request.headers.get("authorization"));
    if (credential.kind === "absent") return "tokenRequired";
    if (credential.kind === "malformed") return "invalidAuthorization";
    return isToken(credential.secret) ? undefined : "invalidToken";
  };
}

/** What all requests together may not hold, one may not either. */
function bodyLimit(settings: Config["streaming"]): BodyLimit {
  const { max_body_bytes: own, max_inflight_bytes: all } = settings;
  const ownBytes = own === 0 ? defaultMaxBodyBytes : own;
  const isOwn = ownBytes > 0 && ownBytes <= all;
  const maxBytes = isOwn ? ownBytes : all;
  const setting = isOwn ? "streaming.max_body_bytes" : "streaming.max_inflight_bytes";
  return { maxBytes, tooLarge: `The body is larger than ${maxBytes} bytes (${setting})` };
}

/** `auto` goes by `Content-Encoding`; every other mode ignores that header. @throws {Refusal} `unsupported_encoding` */
function compressionOf(
  mode: Config["streaming"]["decompress"],
  contentEncoding: string | null,
): Compression | undefined {
  const encoding = mode === "auto" ? (contentEncoding?.trim().toLowerCase() ?? "") : mode;
  switch (encoding) {
    case "":
    case "none":
    case "identity":
      if (mode === "auto" && encoding === "none") break;
      return undefined;
    case "gzip":
    case "x-gzip":
      return "gzip";
    case "zstd":
      return "zstd";
  }
  throw new Refusal(
    "unsupported_encoding",
    `Content-Encoding ${JSON.stringify(encoding.slice(0, 40))} is not supported`,
  );
}
