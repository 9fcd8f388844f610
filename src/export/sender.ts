/** Posts one OTLP body to one destination and says what became of it. Logs, metrics and our own log lines all leave through here. */
import { gzipSync } from "node:zlib";
import type { Clock } from "../lib/clock.ts";
import { type Answer, type Encoding, readAnswer, type Signal } from "./answer.ts";
import { createConnection, type Fetch } from "./connection.ts";

/** Certificates as PEM text. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify: boolean;
}

/** What of a destination may change while it is used. */
export type Credentials = Pick<Destination, "headers" | "tls">;

/** Where one signal goes. Plain data: the export worker gets a copy. */
export interface Destination {
  readonly signal: Signal;
  /** The full address. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: "gzip" | "none";
  /** From the first byte sent to the last byte read. */
  readonly timeoutMs: number;
  readonly tls?: TlsOptions;
}

/** What a request came to, as it is counted. */
export type RequestOutcome = "success" | "retry" | "rejected";

export interface SenderDeps {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Where they may change: those of the next request, instead of the destination's. */
  readonly credentials?: () => Credentials;
  /** Called after every request but those that were cut off by our own stop. */
  readonly onAnswer: (outcome: RequestOutcome, seconds: number) => void;
}

const outcomes: Record<Answer["kind"], RequestOutcome> = { taken: "success", retry: "retry", rejected: "rejected" };

/** Sends a body, which it has copied or compressed when it returns; never throws. The signal ends the attempt early, which counts as one to be repeated. */
export type Sender = (body: Uint8Array, encoding: Encoding, stop: AbortSignal) => Promise<Answer>;

/** `; charset=utf-8` after it is refused by several backends. */
const contentTypes: Record<Encoding, string> = { json: "application/json", protobuf: "application/x-protobuf" };

/** Creates the sender of one destination. It holds no connection of its own: `fetch` keeps them alive. */
export function createSender(destination: Destination, deps: SenderDeps): Sender {
  const credentialsNow = deps.credentials ?? (() => destination);
  const { origin, pathname } = new URL(destination.url);
  const address = origin + pathname;
  const connection = createConnection(deps.fetch);

  return async (body, encoding, stop) => {
    const { headers: given, tls } = credentialsNow();
    const headers: Record<string, string> = { ...given, "content-type": contentTypes[encoding] };
    const isCompressed = destination.compression === "gzip";
    if (isCompressed) headers["content-encoding"] = "gzip";
    const sent = isCompressed ? gzipSync(body, { level: 1 }) : body.slice();
    const startedAt = performance.now();
    const deadline = AbortSignal.timeout(destination.timeoutMs);
    let answer: Answer;
    try {
      const response = await connection(destination.url, {
        method: "POST",
        redirect: "manual",
        ...(tls === undefined ? {} : { tls: tlsInitOf(tls) }),
        headers,
        body: sent as Uint8Array<ArrayBuffer>,
        signal: AbortSignal.any([deadline, stop]),
      });
      answer = await readAnswer(response, destination.signal, encoding, deps.clock);
    } catch (error) {
      if (stop.aborted) return { kind: "retry", why: "stopped" };
      answer = {
        kind: "retry",
        why: deadline.aborted ? `no answer within ${destination.timeoutMs} ms` : reasonOf(error),
      };
    }
    deps.onAnswer(outcomes[answer.kind], (performance.now() - startedAt) / 1000);
    const told = answer.kind === "retry" ? { ...answer, why: `${address}: ${answer.why}` } : answer;
    return withoutSecrets(told, secretsIn(given));
  };
}

function tlsInitOf({ insecureSkipVerify, ...pem }: TlsOptions): NonNullable<Parameters<Fetch>[1]["tls"]> {
  return { ...pem, rejectUnauthorized: !insecureSkipVerify };
}

function secretsIn(headers: Destination["headers"]): readonly string[] {
  return Object.entries(headers)
    .filter(([name]) => name !== "user-agent")
    .flatMap(([, value]) => [value, value.replace(/^\w+\s+/, "")]);
}

/** A network error in words; errors of `fetch` hold the useful word in `code`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "the request failed";
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && !error.message.includes(code) ? `${code}: ${error.message}` : error.message;
}

/** Some backends repeat the credential they refuse. What they say ends up in logs and in the quarantine. */
function withoutSecrets(answer: Answer, secrets: readonly string[]): Answer {
  const clean = (text: string) => {
    for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, "[redacted]");
    return text;
  };
  switch (answer.kind) {
    case "taken":
      return answer.partial === undefined
        ? answer
        : { kind: "taken", partial: { ...answer.partial, message: clean(answer.partial.message) } };
    case "rejected":
      return { ...answer, message: clean(answer.message) };
    case "retry":
      return { ...answer, why: clean(answer.why) };
  }
}
