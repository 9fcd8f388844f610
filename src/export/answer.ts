/** What a backend's answer means for the request that it answers: the closed set that delivery acts on. */
import { ProtobufLogsSerializer, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { Clock } from "../lib/clock.ts";
import { parseRetryAfter } from "../lib/backoff.ts";
import { decompressAtOnce } from "../runtime/decompress.ts";

export type Signal = "logs" | "metrics";

/** How an OTLP body is written. */
export type Encoding = "json" | "protobuf";

/** Why a request failed, other than for its body. `denied` waits for the operator: credentials, path, protocol. */
export type FailureCause = "unreachable" | "timeout" | "reset" | "server" | "throttled" | "denied";

/** Causes that may be due to what the request holds; any other failure would befall the next request too. */
export const aboutRequest: ReadonlySet<FailureCause> = new Set(["timeout", "reset", "server"]);

export type Answer =
  /** `partial`: log records or points that the backend did not keep (OTLP's partial success). */
  | { readonly kind: "accepted"; readonly partial?: { readonly rejected: number; readonly message: string } }
  /** The statuses that speak of the body. After every other failure the same body is worth another try. */
  | { readonly kind: "refused"; readonly status: 400 | 413 | 422; readonly message: string }
  /** `retryAfterMs`: how long the backend asks to be left alone. */
  | { readonly kind: "failed"; readonly cause: FailureCause; readonly why: string; readonly retryAfterMs?: number };

/** What was sent: an answer without a content type is read in the same encoding. */
interface Question {
  readonly signal: Signal;
  readonly encoding: Encoding;
  /** Called for a 2xx whose body is no OTLP, which changes nothing for the request. */
  readonly onStrange: () => void;
}

/** No more of an answer is read. Answers of backends are a few hundred bytes. */
const maxAnswerBytes = 65_536;

/** No more of a backend's message is kept, in UTF-16 units. */
const maxMessageLength = 500;

/** The longest wait that a backend may ask for. */
const maxRetryAfterMs = 300_000;

const bareText = new TextDecoder();

/** Reads an answer to its end, or to a bound, and returns what it means. @throws what reading the body throws. */
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

/** Everything that is no server's trouble is the operator's: credentials (401, 403), the path (404, 405, 3xx), the protocol (415). */
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

/** No backend was asked to compress; gzip is read nevertheless, if it is a small answer. Anything else stays as it came. */
function inflated(response: Response, body: Uint8Array): Uint8Array {
  const isGzip = response.headers.get("content-encoding")?.toLowerCase() === "gzip";
  return (isGzip ? decompressAtOnce([body], "gzip")?.content : undefined) ?? body;
}

/** A login page or a proxy's notice is a 200 too: it has accepted nothing. No OTLP answer begins with `<`. */
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

/** The members of both signals' answers. 64-bit integers are texts in JSON. */
interface ExportResponse {
  readonly partialSuccess?: {
    readonly rejectedLogRecords?: number | string | null;
    readonly rejectedDataPoints?: number | string | null;
    readonly errorMessage?: string | null;
  } | null;
}

const protobufResponses = { logs: ProtobufLogsSerializer, metrics: ProtobufMetricsSerializer };

/** The OTLP message in an answer; nothing if it is none. The SDK's JSON form of this logs a warning for each such answer. */
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

/** The number of a backend whose answer was read as it came: a fraction is rounded up, because the journal has whole numbers. */
function countOf(reported: unknown): number {
  const count = typeof reported === "string" ? Number(reported) : reported;
  return typeof count === "number" && count > 0 ? Math.ceil(count) : 0;
}

/** Error bodies are text, rarely an OTLP Status; a web page has nothing worth keeping. A redirect is not followed: the message names where it leads. */
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
