/** The shapes of the API's answers, as far as they are read, and what becomes of them. Members beside these are passed over. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { LogStream, LogStreamStatus, WebhookEndpoint, WebhookWithSecret } from "./types.ts";
import { MalformedAnswer } from "./unusable.ts";

/**
 * The value of a text that has the shape.
 * @throws {MalformedAnswer} with where it has not
 */
export function checkedAnswer<Schema extends TSchema>(schema: Schema, text: string): Static<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MalformedAnswer("it is not JSON");
  }
  if (Value.Check(schema, value)) return value;
  const { path, message } = deepest(Value.Errors(schema, value).First());
  throw new MalformedAnswer(`${path === "" ? "the whole" : path.slice(0, 100)}: ${message}`);
}

interface Mismatch {
  readonly path: string;
  readonly message: string;
  readonly errors: readonly { First(): Mismatch | undefined }[];
}

/** Of alternatives none of which fits, the one that fits furthest says most. */
function deepest(error: Mismatch | undefined): Mismatch {
  if (error === undefined) return { path: "", message: "another shape", errors: [] };
  const inner = error.errors.flatMap((alternative) => alternative.First() ?? []).map(deepest);
  return inner.reduce((best, one) => (one.path.length > best.path.length ? one : best), error);
}

/** Go writes an empty list as `null`, and leaves out what is empty. */
const texts = Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()]));
const text = Type.Optional(Type.String());
const sum = Type.Optional(Type.Number({ minimum: 0 }));

const ApiDevice = Type.Object({
  nodeId: text,
  name: text,
  hostname: text,
  addresses: texts,
  os: text,
  user: text,
  tags: texts,
});

export type ApiDevice = Static<typeof ApiDevice>;

export const DevicesAnswer = Type.Object({ devices: Type.Union([Type.Array(ApiDevice), Type.Null()]) });

export const LogStreamAnswer = Type.Object({
  destinationType: Type.String({ minLength: 1 }),
  url: text,
  user: text,
  compressionFormat: Type.Optional(
    Type.Union([Type.Literal(""), Type.Literal("none"), Type.Literal("gzip"), Type.Literal("zstd")]),
  ),
});

export function logStreamOf(answer: Static<typeof LogStreamAnswer>): LogStream {
  return {
    destinationType: answer.destinationType,
    url: answer.url ?? "",
    user: answer.user ?? "",
    compressionFormat: answer.compressionFormat || "none",
  };
}

export const LogStreamStatusAnswer = Type.Object({
  lastActivity: text,
  lastError: text,
  numBytesSent: sum,
  numEntriesSent: sum,
  numTotalRequests: sum,
  numFailedRequests: sum,
});

export function logStreamStatusOf(answer: Static<typeof LogStreamStatusAnswer>): LogStreamStatus {
  return {
    lastActivity: answer.lastActivity ?? "",
    lastError: answer.lastError ?? "",
    bytesSent: answer.numBytesSent ?? 0,
    entriesSent: answer.numEntriesSent ?? 0,
    requests: answer.numTotalRequests ?? 0,
    failedRequests: answer.numFailedRequests ?? 0,
  };
}

/** An id is a part of a path: nothing that would lead to another one. */
const ApiWebhook = Type.Object({
  endpointId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,128}$" }),
  endpointUrl: text,
  providerType: text,
  subscriptions: texts,
  created: text,
  lastModified: text,
});

export const WebhookAnswer = ApiWebhook;

export const WebhookSecretAnswer = Type.Composite([ApiWebhook, Type.Object({ secret: Type.String({ minLength: 1 }) })]);

export const WebhooksAnswer = Type.Object({ webhooks: Type.Union([Type.Array(ApiWebhook), Type.Null()]) });

export function webhookOf(answer: Static<typeof ApiWebhook>): WebhookEndpoint {
  return {
    id: answer.endpointId,
    url: answer.endpointUrl ?? "",
    providerType: answer.providerType ?? "",
    subscriptions: answer.subscriptions ?? [],
    created: answer.created ?? "",
    lastModified: answer.lastModified ?? "",
  };
}

export function webhookWithSecretOf(answer: Static<typeof WebhookSecretAnswer>): WebhookWithSecret {
  return { ...webhookOf(answer), secret: answer.secret };
}
