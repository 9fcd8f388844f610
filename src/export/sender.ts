/** Posts one OTLP body to one destination and says what became of it. Logs, metrics and our own log lines all leave through here. */
import { gzipSync } from "node:zlib";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { type Answer, type Encoding, type FailureCause, readAnswer, type Signal } from "./answer.ts";
import { createConnection, type Fetch } from "./connection.ts";
import type { Credentials, Destination } from "./destination.ts";

/** What a request came to, as it is counted. */
export type RequestOutcome = "success" | "retry" | "rejected";

/**
 * Sends a body, which it has copied or compressed when it returns; never throws. The signal ends the attempt early: it then
 * failed because it was stopped, and is not counted.
 */
export type Sender = (body: Uint8Array, encoding: Encoding, stop: AbortSignal) => Promise<Answer>;

export interface SenderDeps {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Those of the next request, which may be newer than the destination's. */
  readonly credentials: () => Credentials;
  /** Called after every request except those that our own stop cut off. */
  readonly onAnswer: (signal: Signal, outcome: RequestOutcome, seconds: number) => void;
}

/** What an attempt comes to that was ended by our own stop. */
export const stopped: Answer = { kind: "failed", cause: "unreachable", why: "stopped" };

/** Creates the sender of one destination. It holds no connection of its own: `fetch` keeps them alive. */
export function createSender(destination: Destination, deps: SenderDeps): Sender {
  const { signal, url, compression, timeoutMs } = destination;
  const { origin, pathname } = new URL(url);
  const address = origin + pathname;
  const connection = createConnection(deps.fetch);
  const notice = createNotices(destination, deps.logger);

  return async (body, encoding, stop) => {
    const { headers: given, tls } = deps.credentials();
    const headers: Record<string, string> = { ...given, "content-type": contentTypes[encoding] };
    if (compression === "gzip") headers["content-encoding"] = "gzip";
    const sent =
      compression === "gzip" ? gzipSync(body, { level: 1, chunkSize: Math.max(body.length >> 2, 1024) }) : body.slice();
    const startedAt = performance.now();
    const deadline = AbortSignal.timeout(timeoutMs);
    let answer: Answer;
    try {
      const response = await connection(url, {
        method: "POST",
        redirect: "manual",
        ...(tls === undefined ? {} : { tls: tlsInitOf(tls) }),
        headers,
        body: sent as Uint8Array<ArrayBuffer>,
        signal: AbortSignal.any([deadline, stop]),
      });
      const read = await readAnswer(response, { signal, encoding }, deps.clock);
      notice(read.answer, response.status, { encoding, isStrange: read.isStrange === true });
      answer = read.answer;
    } catch (error) {
      if (stop.aborted) return stopped;
      answer = deadline.aborted
        ? { kind: "failed", cause: "timeout", why: `no answer within ${timeoutMs} ms` }
        : { kind: "failed", cause: causeOf(error), why: reasonOf(error) };
    }
    deps.onAnswer(signal, outcomes[answer.kind], (performance.now() - startedAt) / 1000);
    const placed = answer.kind === "failed" ? { ...answer, why: `${address}: ${answer.why}` } : answer;
    return withoutSecrets(placed, secretsIn(given));
  };
}

const outcomes: Record<Answer["kind"], RequestOutcome> = { taken: "success", failed: "retry", refused: "rejected" };

/** Several backends refuse `; charset=utf-8` after it. */
const contentTypes: Record<Encoding, string> = { json: "application/json", protobuf: "application/x-protobuf" };

const settings: Record<Encoding, string> = { json: "http/json", protobuf: "http/protobuf" };

type Notice = (answer: Answer, status: number, about: { encoding: Encoding; isStrange: boolean }) => void;

/**
 * Says once each what the operator should know about a destination. 415 speaks of the encoding, and so may 400 to JSON as
 * long as nothing has been taken (VictoriaMetrics and VictoriaLogs answer so); the protocol is never switched.
 */
function createNotices({ signal, url }: Destination, logger: Logger): Notice {
  let hasTaken = false;
  let hasSaidEncoding = false;
  let hasSaidStrange = false;
  return (answer, status, { encoding, isStrange }) => {
    hasTaken ||= answer.kind === "taken";
    if (isStrange && !hasSaidStrange) {
      hasSaidStrange = true;
      logger.warn("the backend's answer to an accepted request is not OTLP: is the endpoint right?", { signal });
    }
    const isDoubtful = status === 415 || (status === 400 && encoding === "json" && !hasTaken);
    if (!isDoubtful || hasSaidEncoding) return;
    hasSaidEncoding = true;
    const other: Encoding = encoding === "json" ? "protobuf" : "json";
    logger.warn(`the backend may not accept OTLP as ${encoding}`, {
      signal,
      status,
      host: new URL(url).host,
      remedy: `set otlp.protocol = "${settings[other]}"`,
    });
  };
}

function tlsInitOf({ insecureSkipVerify, ...pem }: NonNullable<Credentials["tls"]>) {
  return { ...pem, rejectUnauthorized: !insecureSkipVerify };
}

/** A connection that was there and ended; every other error means that there was none. */
const resetCodes: ReadonlySet<unknown> = new Set(["ECONNRESET", "EPIPE", "ConnectionClosed", "UND_ERR_SOCKET"]);

function causeOf(error: unknown): FailureCause {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return resetCodes.has(code) ? "reset" : "unreachable";
}

/** A network error in words; errors of `fetch` hold the useful word in `code`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "the request failed";
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && !error.message.includes(code) ? `${code}: ${error.message}` : error.message;
}

/** Values of all headers but our name, whole and without their scheme. */
function secretsIn(headers: Credentials["headers"]): readonly string[] {
  return Object.entries(headers)
    .filter(([name]) => name !== "user-agent")
    .flatMap(([, value]) => [value, value.replace(/^\w+\s+/, "")])
    .filter((value) => value.length >= 4);
}

/** Some backends repeat the credential that they refuse. What they say ends up in logs and in marks. */
function withoutSecrets(answer: Answer, secrets: readonly string[]): Answer {
  const clean = (text: string) => {
    for (const secret of secrets) text = text.replaceAll(secret, "[redacted]");
    return text;
  };
  switch (answer.kind) {
    case "taken":
      return answer.partial === undefined
        ? answer
        : { kind: "taken", partial: { ...answer.partial, message: clean(answer.partial.message) } };
    case "refused":
      return { ...answer, message: clean(answer.message) };
    case "failed":
      return { ...answer, why: clean(answer.why) };
  }
}
