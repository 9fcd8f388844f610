/** The HEC stream receiver: who may send, where to, and how a body becomes a committed batch. */
import { type Config, defaultMaxBodyBytes } from "../../config/index.ts";
import { Refusal } from "../../errors.ts";
import { createSecretCheck, isFromBrowser, readAuthorization } from "../../http/auth.ts";
import type { Exchange, HttpAnswer } from "../../http/exchange.ts";
import { createLimiter } from "../../http/limiter.ts";
import type { Route } from "../../http/router.ts";
import type { Compression } from "../../runtime/decompress.ts";
import { responseOf, withTrailingSlash } from "../answers.ts";
import { createIntake, type Job, type ReceiverDeps } from "../intake.ts";
import { type BodyLimit, readBodyInto } from "./body.ts";
import { hecAnswers, type HecAnswerName, type RejectedReason } from "./protocol.ts";

export interface HecReceiverDeps extends ReceiverDeps {
  /** The journal accepts nothing. */
  isFull(): boolean;
}

export interface HecReceiver {
  readonly routes: readonly Route[];
  /** The next request is checked against these. */
  useTokens(token: string, tokenPrevious: string): void;
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

/** What the headers of a request say. */
interface Claim {
  readonly compression: Compression | undefined;
}

export function createHecReceiver(settings: Config["streaming"], deps: HecReceiverDeps): HecReceiver {
  const { telemetry, pipeline } = deps;
  const { request_timeout: timeoutMs, max_inflight_bytes: maxBytes, max_concurrent_requests: maxWorking } = settings;
  const limit = bodyLimit(settings);
  const largeLimiter = createLimiter({ maxReading: Number.POSITIVE_INFINITY, maxBytes: 0, maxWorking: 1 });
  let tokens: readonly string[] = [];
  let isToken = createSecretCheck(tokens);
  useTokens(settings.token, settings.token_previous);

  function useTokens(...next: readonly string[]): void {
    tokens = next.filter((token) => token !== "");
    isToken = createSecretCheck(tokens);
  }

  function check(exchange: Exchange): Claim | HecAnswerName {
    const { headers } = exchange.request;
    const credential = readAuthorization(headers.get("authorization"));
    if (tokens.length === 0) {
      if (isFromBrowser(exchange, settings.public_url)) return "crossSite";
    } else if (credential === "absent") return "tokenRequired";
    else if (credential === "malformed") return "invalidAuthorization";
    else if (!isToken(credential)) return "invalidToken";
    return { compression: compressionOf(settings.decompress, headers.get("content-encoding")) };
  }

  async function commit({ claim, body, receivedAt, admission, turns }: Job<Claim>): Promise<HecAnswerName> {
    telemetry.record("tailscale.stream.request.size", body.bytes, {});
    const batch = pipeline.open({ source: "stream", receivedAt });
    const large = largeLimiter.enter("");
    const enterLarge = (): Promise<void> => large.work(timeoutMs);
    try {
      const bytes = await readBodyInto(batch, body, { ...limit, ...claim, admission, turns, enterLarge });
      if (bytes === undefined) return "noData";
      turns.checkDeadline();
      await batch.commit(bytes);
      return "success";
    } finally {
      batch.drop();
      large.leave();
    }
  }

  const ingest = createIntake<HecAnswerName, RejectedReason, Claim>(
    {
      signal: "stream",
      subject: "stream request",
      rows: hecAnswers,
      limits: { maxReading, maxBytes, maxWorking },
      ...limit,
      timeoutMs,
      check,
      commit,
      rejected: (reason) => telemetry.add("tailscale.stream.rejected", 1, { reason }),
    },
    deps,
  );

  function health({ isStopping }: Exchange): HttpAnswer {
    return responseOf(hecAnswers[isStopping ? "shuttingDown" : deps.isFull() ? "queuesFull" : "healthy"], {});
  }

  return {
    routes: [
      ...ingestPaths(settings.path).map((path): Route => ({ path, methods: { POST: ingest } })),
      ...healthPaths.map((path): Route => ({ path, methods: { GET: health } })),
    ],
    useTokens,
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
    case "identity":
      return undefined;
    case "none":
      if (mode === "none") return undefined;
      break;
    case "gzip":
    case "x-gzip":
      return "gzip";
    case "zstd":
      return "zstd";
  }
  const shown = JSON.stringify(encoding.slice(0, 40));
  throw new Refusal("unsupported_encoding", `Content-Encoding ${shown} is not supported`);
}
