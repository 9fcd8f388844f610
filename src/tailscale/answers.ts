/** The shapes of the API's answers, as far as they are used. Other members are ignored. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BadAnswer } from "./errors.ts";

/**
 * Parses a text and checks its shape. Go omits empty values and writes an empty list as `null`, so `null` counts as absent.
 * @throws {BadAnswer} with the path of the first mismatch, which begins with `at`
 */
export function checkedAnswer<Schema extends TSchema>(schema: Schema, text: string, at = ""): Static<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text, (_, member: unknown) => member ?? undefined);
  } catch {
    throw new BadAnswer("malformed", at === "" ? "it is not JSON" : `${at} is not JSON`);
  }
  if (Value.Check(schema, value)) return value;
  throw new BadAnswer("malformed", at + mismatchOf(schema, value));
}

/** Where and how a value first differs from a shape that it does not match. */
export function mismatchOf(schema: TSchema, value: unknown): string {
  const { path = "", message = "" } = Value.Errors(schema, value).First() ?? {};
  return `${path === "" ? "the whole" : path.slice(0, 100)}: ${message.slice(0, 200)}`;
}

const text = Type.Optional(Type.String());
const texts = Type.Optional(Type.Array(Type.String()));
const count = Type.Optional(Type.Number({ minimum: 0 }));

/** A device as the API describes it. */
export type ApiDevice = Static<typeof ApiDevice>;
export const ApiDevice = Type.Object({
  nodeId: text,
  name: text,
  addresses: texts,
  os: text,
  user: text,
  tags: texts,
});

export const LogStreamAnswer = Type.Object({
  destinationType: Type.String({ minLength: 1 }),
  url: text,
  user: text,
  compressionFormat: Type.Optional(
    Type.Union([Type.Literal("none"), Type.Literal("gzip"), Type.Literal("zstd"), Type.Literal("")]),
  ),
});

/** Tailscale's own view of a stream: totals since it was configured. Missing members are zero or empty. */
export type LogStreamStatus = Readonly<Static<typeof LogStreamStatus>>;
export const LogStreamStatus = Type.Object({
  lastActivity: text,
  lastError: text,
  numBytesSent: count,
  numEntriesSent: count,
  numSpoofedEntries: count,
  numTotalRequests: count,
  numFailedRequests: count,
});

/** An id becomes part of a path, so its characters are restricted. */
export const WebhookAnswer = Type.Object({
  endpointId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,128}$" }),
  endpointUrl: text,
  providerType: text,
  subscriptions: texts,
  created: text,
  lastModified: text,
});

export const WebhookSecretAnswer = Type.Composite([
  WebhookAnswer,
  Type.Object({ secret: Type.String({ minLength: 1 }) }),
]);

export const WebhooksAnswer = Type.Object({ webhooks: Type.Optional(Type.Array(WebhookAnswer)) });
