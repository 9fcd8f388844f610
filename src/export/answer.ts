/** Classifies a backend's answer to a request: the closed set of outcomes that delivery acts on. */
import { ProtobufLogsSerializer, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { Clock } from "../lib/clock.ts";
import { parseRetryAfter } from "../lib/backoff.ts";
import { decompressAtOnce } from "../runtime/decompress.ts";

export type Signal = "logs" | "metrics";

export type Encoding = "json" | "protobuf";

/** Why a request failed for reasons other than its body. `denied` needs the operator: credentials, path, protocol. */
export type FailureCause = "unreachable" | "timeout" | "reset" | "server" | "throttled" | "denied";

/** Causes that may be due to the request's contents; any other failure would affect the next request too. */
export const aboutRequest: ReadonlySet<FailureCause> = new Set(["timeout", "reset", "server"]);

export type Answer =
  /** `partial`: log records or points that the backend rejected (OTLP's partial success). */
  | { readonly kind: "accepted"; readonly partial?: { readonly rejected: number; readonly message: string } }
  /** The statuses that are about the body. After any other failure the same body is worth retrying. */
  | { readonly kind: "refused"; readonly status: 400 | 413 | 422; readonly message: string }
  /** `retryAfterMs`: how long the backend asks to wait. */
  | { readonly kind: "failed"; readonly cause: FailureCause; readonly why: string; readonly retryAfterMs?: number };

/** What was sent; an answer without a content type is assumed to have the same encoding. */
interface Question {
  readonly signal: Signal;
  readonly encoding: Encoding;
  /** Called for a 2xx whose body is not OTLP; the request still counts as accepted. */
  readonly onStrange: () => void;
}

/** Answers are read up to this size; most have a few hundred bytes. */
const maxAnswerBytes = 65_536;

/** Backend messages are cut to this length, in UTF-16 code units. */
const maxMessageLength = 500;

/** The longest `Retry-After` that is honored. */
const maxRetryAfterMs = 300_000;

const bareText = new TextDecoder();

/** Reads an answer, up to a size limit, and classifies it. @throws what reading the body throws. */
export async function readAnswer(response: Response, request: Question, clock: Clock): Promise<Answer> {
  const body = inflated(response, await readBounded(response));
  const { status } = response;
  if (status >= 200 && status < 300) return acceptedOrPage(response, body, request);
  const message = messageOf(response, body);
  if (status === 400 || status === 413 || status === 422) return { kind: "refused", status, message };
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), clock(), maxRetryAfterMs);
  const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { kind: "failed", cause: causeOf(status), why: message, ...wait };
}

/** What is not the server's fault needs the operator: credentials (401, 403), the path (404, 405, 3xx), the protocol (415). */
function causeOf(status: number): FailureCause {
  if (status === 429) return "throttled";
  if (status === 408) return "timeout";
  return status >= 500 ? "server" : "denied";
}

async function readBounded(response: Response): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) break;
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** Compression is not requested, but a small gzip answer is decompressed anyway; other encodings are left as received. */
function inflated(response: Response, body: Uint8Array): Uint8Array {
  const isGzip = response.headers.get("content-encoding")?.toLowerCase() === "gzip";
  return (isGzip ? decompressAtOnce([body], "gzip")?.content : undefined) ?? body;
}

/** Login pages and proxy notices also have status 200, but nothing was accepted. No OTLP answer begins with `<`. */
function acceptedOrPage(response: Response, body: Uint8Array, request: Question): Answer {
  const type = response.headers.get("content-type") ?? "";
  if (/^(text\/html|application\/xhtml)/i.test(type.trim()) || body[0] === 0x3c) {
    const why = `HTTP ${response.status} with a web page: is the endpoint an OTLP receiver?`;
    return { kind: "failed", cause: "denied", why };
  }
  if (body.length === 0) return { kind: "accepted" };
  const encoding = /json/i.test(type) ? "json" : /protobuf/i.test(type) ? "protobuf" : request.encoding;
  const message = body.length > maxAnswerBytes ? undefined : responseOf(body, { ...request, encoding });
  if (message !== undefined) return acceptedWith(message, request.signal);
  request.onStrange();
  return { kind: "accepted" };
}

/** The fields of both signals' answers. 64-bit integers are strings in JSON. */
interface ExportResponse {
  readonly partialSuccess?: {
    readonly rejectedLogRecords?: number | string | null;
    readonly rejectedDataPoints?: number | string | null;
    readonly errorMessage?: string | null;
  } | null;
}

const protobufResponses = { logs: ProtobufLogsSerializer, metrics: ProtobufMetricsSerializer };

/** The OTLP message in an answer; undefined if it is not OTLP, for which the SDK's JSON parser would log a warning. */
function responseOf(body: Uint8Array, { signal, encoding }: Omit<Question, "onStrange">): ExportResponse | undefined {
  try {
    if (encoding === "protobuf") return protobufResponses[signal].deserializeResponse(body);
    const value: unknown = JSON.parse(bareText.decode(body));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function acceptedWith({ partialSuccess: fields }: ExportResponse, signal: Signal): Answer {
  if (typeof fields !== "object" || fields === null) return { kind: "accepted" };
  const rejected = countOf(signal === "logs" ? fields.rejectedLogRecords : fields.rejectedDataPoints);
  const message = typeof fields.errorMessage === "string" ? shorten(fields.errorMessage) : "";
  return rejected === 0 && message === "" ? { kind: "accepted" } : { kind: "accepted", partial: { rejected, message } };
}

/** A count as reported by the backend; a fraction is rounded up, because the journal stores integers. */
function countOf(reported: unknown): number {
  const count = typeof reported === "string" ? Number(reported) : reported;
  return typeof count === "number" && count > 0 ? Math.ceil(count) : 0;
}

/** Error bodies are text, rarely an OTLP Status; web pages are ignored. Redirects are not followed, so the message names the target. */
function messageOf(response: Response, body: Uint8Array): string {
  const type = response.headers.get("content-type") ?? "";
  const isText = !/protobuf|octet-stream|html/i.test(type) && body[0] !== 0x3c;
  const text = isText ? shorten(bareText.decode(body)) : "";
  const location = shorten(response.headers.get("location") ?? "");
  const isRedirect = response.status >= 300 && response.status < 400 && location !== "";
  const status = isRedirect ? `HTTP ${response.status} (redirect to ${location})` : `HTTP ${response.status}`;
  return text === "" ? status : `${status}: ${text}`;
}

function shorten(text: string): string {
  const line = text
    .slice(0, maxMessageLength * 2)
    .replaceAll(/[\s\p{Cc}\uFFFD]+/gu, " ")
    .toWellFormed()
    .trim();
  return line.length > maxMessageLength ? `${line.slice(0, maxMessageLength).toWellFormed()}…` : line;
}
