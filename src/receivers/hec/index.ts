/** The HEC stream receiver: who may send, to which paths, and how a body becomes a committed batch. */
import { type Config, defaultMaxBodyBytes } from "../../config/index.ts";
import { Refusal } from "../../errors.ts";
import { createSecretCheck, isFromBrowser, readAuthorization } from "../../http/auth.ts";
import type { Exchange, HttpAnswer } from "../../http/exchange.ts";
import { createLimiter } from "../../http/limiter.ts";
import type { Route } from "../../http/router.ts";
import type { Compression } from "../../runtime/decompress.ts";
import { responseOf, withTrailingSlash } from "../answers.ts";
import { createIntake, type Job, type ReceiverDeps } from "../intake.ts";
import { createTailnets, type Known } from "../tailnets.ts";
import { type BodyLimit, readBodyInto } from "./body.ts";
import { hecAnswers, type HecAnswerName, type RejectedReason } from "./protocol.ts";

export interface HecReceiverDeps extends ReceiverDeps {
  /** True if the journal accepts nothing. */
  isFull(): boolean;
}

/** A tailnet that streams. */
export interface StreamingTailnet extends Known {
  readonly settings: Pick<Config["streaming"], "token" | "token_previous">;
}

export interface HecReceiver {
  readonly routes: readonly Route[];
  /** Checks requests against these tokens from now on. `tailnet`: its name. */
  useTokens(token: string, tokenPrevious: string, tailnet?: string): void;
}

export const defaultPath = "/services/collector/event";

/** Other paths that HEC clients use by default; accepted only with `defaultPath`. */
const aliases = ["/services/collector", "/services/collector/event/1.0"];

/** Probed by clients and load balancers, independent of the path for records. */
export const healthPaths = ["/services/collector/health", "/services/collector/health/1.0"].flatMap(withTrailingSlash);

/** Paths that accept records. */
export function ingestPaths(path: string): readonly string[] {
  const paths = withTrailingSlash(path);
  return paths[0] === defaultPath ? [...paths, ...aliases.flatMap(withTrailingSlash)] : paths;
}

/** Maximum number of requests whose body is being read. */
export const maxReading = 256;

/** What the headers of a request say. */
interface Claim {
  readonly tailnet: StreamingTailnet;
  readonly compression: Compression | undefined;
}

/** `streaming`: the tailnets, if there are several. `deps.telemetry` and `deps.logger` are for requests of none of them. */
export function createHecReceiver(
  settings: Config["streaming"],
  deps: HecReceiverDeps,
  streaming: readonly StreamingTailnet[] = [{ ...deps, name: "", settings }],
): HecReceiver {
  const { telemetry } = deps;
  const tailnets = createTailnets(streaming, [...ingestPaths(settings.path), ...healthPaths]);
  const { request_timeout: timeoutMs, max_inflight_bytes: maxBytes, max_concurrent_requests: maxWorking } = settings;
  const limit = bodyLimit(settings);
  const largeLimiter = createLimiter({ maxReading: Number.POSITIVE_INFINITY, maxBytes: 0, maxWorking: 1 });
  const tokens = new Map<string, readonly string[]>();
  const checks = new Map<string, (candidate: Uint8Array) => boolean>();
  for (const { name, settings: own } of streaming) useTokens(own.token, own.token_previous, name);

  function useTokens(token: string, tokenPrevious: string, tailnet = ""): void {
    const given = [token, tokenPrevious].filter((one) => one !== "");
    tokens.set(tailnet, given);
    checks.set(tailnet, createSecretCheck(given));
  }

  const isOpen = ({ name }: StreamingTailnet): boolean => tokens.get(name)?.length === 0;

  /** The tailnet, or the answer. Every token is compared, whatever the path. */
  function authenticate(exchange: Exchange): StreamingTailnet | HecAnswerName {
    const candidates = tailnets.candidates(exchange);
    const [only, ...others] = candidates;
    if (only !== undefined && others.length === 0 && isOpen(only))
      return isFromBrowser(exchange, settings.public_url) ? "crossSite" : only;
    const credential = readAuthorization(exchange.request.headers.get("authorization"));
    if (credential === "absent") return "tokenRequired";
    if (credential === "malformed") return "invalidAuthorization";
    const owners = new Set(streaming.filter(({ name }) => checks.get(name)?.(credential)));
    return candidates.find((tailnet) => owners.has(tailnet)) ?? "invalidToken";
  }

  function check(exchange: Exchange): Claim | HecAnswerName {
    const tailnet = authenticate(exchange);
    if (typeof tailnet === "string") return tailnet;
    tailnets.decide(exchange, tailnet);
    const encoding = exchange.request.headers.get("content-encoding");
    return { tailnet, compression: compressionOf(settings.decompress, encoding) };
  }

  async function commit({ claim, body, receivedAt, admission, turns }: Job<Claim>): Promise<HecAnswerName> {
    const { tailnet, compression } = claim;
    tailnet.telemetry.record("tailscale.stream.request.size", body.bytes, {});
    const batch = tailnet.pipeline.open({ source: "stream", receivedAt });
    const large = largeLimiter.enter("");
    const enterLarge = (): Promise<void> => large.work(timeoutMs);
    try {
      const bytes = await readBodyInto(batch, body, { ...limit, compression, admission, turns, enterLarge });
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
      tailnetOf: tailnets.of,
      rejected: (reason, exchange) =>
        (tailnets.of(exchange)?.telemetry ?? telemetry).add("tailscale.stream.rejected", 1, { reason }),
    },
    deps,
  );

  function health({ isStopping }: Exchange): HttpAnswer {
    return responseOf(hecAnswers[isStopping ? "shuttingDown" : deps.isFull() ? "queuesFull" : "healthy"], {});
  }

  return {
    routes: [
      ...ingestPaths(settings.path).flatMap((path) => tailnets.routes(path, { POST: ingest })),
      ...healthPaths.flatMap((path) => tailnets.routes(path, { GET: health })),
    ],
    useTokens,
  };
}

/** A single body may not exceed the limit for all of them. */
function bodyLimit(settings: Config["streaming"]): BodyLimit {
  const { max_body_bytes: own, max_inflight_bytes: all } = settings;
  const ownBytes = own === 0 ? defaultMaxBodyBytes : own;
  const isOwn = ownBytes > 0 && ownBytes <= all;
  const maxBytes = isOwn ? ownBytes : all;
  const setting = isOwn ? "streaming.max_body_bytes" : "streaming.max_inflight_bytes";
  return { maxBytes, tooLarge: `The body is larger than ${maxBytes} bytes (${setting})` };
}

/** `auto` follows `Content-Encoding`; other modes ignore that header. @throws {Refusal} `unsupported_encoding` */
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
