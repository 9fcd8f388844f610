/** What a backend's answer means for the request it answers: the closed set that delivery acts on. */
import {
  type ISerializer,
  JsonLogsSerializer,
  JsonMetricsSerializer,
  ProtobufLogsSerializer,
  ProtobufMetricsSerializer,
} from "@opentelemetry/otlp-transformer";
import type { Clock } from "../lib/clock.ts";
import { parseRetryAfter } from "../lib/retry-after.ts";

export type Signal = "logs" | "metrics";

/** How an OTLP body is written. */
export type Encoding = "json" | "protobuf";

/** The statuses that speak of the body. Every other failure is worth another try with the same body. */
export type RejectionStatus = 400 | 413 | 415 | 422;

/** Records or points of a taken request that the backend did not keep (OTLP's partial success). */
export interface PartialSuccess {
  readonly rejected: number;
  readonly message: string;
}

export type Answer =
  | { readonly kind: "taken"; readonly partial?: PartialSuccess }
  | { readonly kind: "rejected"; readonly status: RejectionStatus; readonly message: string }
  | { readonly kind: "retry"; readonly why: string; readonly retryAfterMs?: number };

/** More of an answer than this is not read. Answers of backends are a few hundred bytes. */
const maxAnswerBytes = 65_536;

/** More of a backend's message than this is not kept. */
const maxMessageLength = 500;

/** The longest wait that a backend may ask for. */
export const maxRetryAfterMs = 300_000;

const bareText = new TextDecoder();

/**
 * Reads an answer to its end, or to a bound, and says what it means.
 * @throws whatever reading the body throws: a reset, the deadline.
 */
export async function readAnswer(
  response: Response,
  signal: Signal,
  encoding: Encoding,
  clock: Clock,
): Promise<Answer> {
  const body = await readBounded(response);
  if (response.status >= 200 && response.status < 300) return takenOrPage(response, body, signal, encoding);
  const message = messageOf(response, body);
  switch (response.status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return { kind: "rejected", status: response.status, message };
  }
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), clock(), maxRetryAfterMs);
  return { kind: "retry", why: message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
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

/** A login page or a proxy's notice comes with 200 too: it has taken nothing. No OTLP answer begins with `<`. */
function takenOrPage(response: Response, body: Uint8Array, signal: Signal, encoding: Encoding): Answer {
  const type = response.headers.get("content-type") ?? "";
  if (/^(text\/html|application\/xhtml)/i.test(type.trim()) || body[0] === 0x3c) {
    return { kind: "retry", why: `${response.status} with a web page: is the endpoint an OTLP receiver?` };
  }
  if (body.length === 0 || body.length > maxAnswerBytes) return { kind: "taken" };
  const answered = /json/i.test(type) ? "json" : /protobuf/i.test(type) ? "protobuf" : encoding;
  const partial = partialOf(body, signal, answered);
  return partial === undefined ? { kind: "taken" } : { kind: "taken", partial };
}

interface PartialFields {
  readonly rejectedLogRecords?: number | string | null;
  readonly rejectedDataPoints?: number | string | null;
  readonly errorMessage?: string | null;
}

const serializers: Record<Signal, Record<Encoding, ISerializer<never, { partialSuccess?: PartialFields }>>> = {
  logs: { json: JsonLogsSerializer, protobuf: ProtobufLogsSerializer },
  metrics: { json: JsonMetricsSerializer, protobuf: ProtobufMetricsSerializer },
};

/** A body that is no OTLP answer takes nothing back from its 2xx. */
function partialOf(body: Uint8Array, signal: Signal, encoding: Encoding): PartialSuccess | undefined {
  let fields: PartialFields | null | undefined;
  try {
    fields = serializers[signal][encoding].deserializeResponse(body)?.partialSuccess;
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const rejected = Number((signal === "logs" ? fields.rejectedLogRecords : fields.rejectedDataPoints) ?? 0);
  const message = typeof fields.errorMessage === "string" ? fields.errorMessage : "";
  if (!(rejected > 0) && message === "") return undefined;
  return { rejected: rejected > 0 ? rejected : 0, message: shorten(message) };
}

/** Error bodies are text, rarely an OTLP Status; a web page says nothing worth keeping. */
function messageOf(response: Response, body: Uint8Array): string {
  const type = response.headers.get("content-type") ?? "";
  const isText = !/protobuf|octet-stream|html/i.test(type) && body[0] !== 0x3c;
  const text = isText ? shorten(bareText.decode(body)) : "";
  return text === "" ? `HTTP ${response.status}` : `HTTP ${response.status}: ${text}`;
}

function shorten(text: string): string {
  const line = text
    .slice(0, maxMessageLength * 2)
    .replaceAll(/[\s\p{Cc}\uFFFD]+/gu, " ")
    .trim();
  return line.length > maxMessageLength ? `${line.slice(0, maxMessageLength)}…` : line;
}
