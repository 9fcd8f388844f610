/**
 * Shapes of an instance's responses, as far as commands show them; they are checked because anything may listen at an address.
 */
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { mismatchOf } from "../tailscale/answers.ts";
import { readText } from "../tailscale/client.ts";

/** A page of events has about 1 MiB of text plus one event; a list of quarantined records has less. */
const maxAnswerBytes = 64 * 1024 * 1024;

/** The JSON value of the response; undefined if it is not JSON. @throws if the body cannot be read. */
export async function readAnswer(response: Response, maxBytes = maxAnswerBytes): Promise<unknown> {
  const text = await readText(response, maxBytes);
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Why the value does not have the shape; undefined if it does. */
export function whyMisshapen(schema: TSchema, value: unknown): string | undefined {
  return Value.Check(schema, value) ? undefined : mismatchOf(schema, value);
}

/** The program's own names and numbers, which are shown as they are because they cannot contain control characters. */
const word = Type.String({ pattern: "^[\\x20-\\x7e]*$", maxLength: 300 });
const time = Type.String({ pattern: "^\\d{4}-\\d\\d-\\d\\dT[\\d:.]{8,20}Z$" });
const number = Type.Number();
const numbers = Type.Record(Type.String(), number);
const times = Type.Record(Type.String(), time);
/** Text of other origin, shown only through `printable`. */
const text = Type.String();
const texts = Type.Array(text);
const optional = Type.Optional;

const counters = Type.Object({ kind: word, measuredRow: optional(number), lastRow: optional(number) });

const conservation = Type.Object({
  received: number,
  accepted: number,
  duplicate: number,
  skipped: number,
  quarantined: number,
  delivered: number,
  pending: number,
  deadLettered: number,
  lost: number,
  uncounted: number,
});

const signalHealth = Type.Object({ kind: word, why: optional(text), since: optional(time), leftOut: optional(number) });
const exportHealth = Type.Object({ logs: signalHealth, metrics: signalHealth });

export const RedeliveryAnswer = Type.Object({
  name: word,
  destination: optional(word),
  state: word,
  startedAt: time,
  since: optional(time),
  until: optional(time),
  total: number,
  delivered: number,
  rejected: number,
  trouble: optional(text),
});

export const RedeliveriesAnswer = Type.Array(RedeliveryAnswer);

const destination = Type.Object({
  name: word,
  records: optional(
    Type.Object({
      types: Type.Array(word),
      accepted: number,
      delivered: number,
      pending: number,
      deadLettered: number,
      evicted: number,
      pendingSince: optional(time),
    }),
  ),
  export: optional(exportHealth),
  lastSuccess: times,
});

const poll = Type.Object({
  log: word,
  readUntil: optional(time),
  lastSuccess: optional(time),
  trouble: optional(text),
});

const member = Type.Object({
  id: text,
  host: text,
  version: text,
  adminAddress: text,
  startedAt: time,
  seenAt: time,
  isLeader: Type.Boolean(),
});

const cluster = Type.Object({
  member: text,
  isLeading: Type.Boolean(),
  members: optional(Type.Array(member)),
  lease: optional(Type.Object({ fence: number, expiresInMs: number })),
  rows: optional(Type.Object({ last: number, counted: number, toDeliver: number })),
  roundTripMs: optional(number),
  trouble: optional(text),
});

const ofEvery = {
  version: word,
  statePath: optional(text),
  notReady: texts,
  degraded: optional(texts),
  troubles: optional(Type.Array(Type.Object({ severity: word, message: text, remedy: text }))),
  space: Type.Object({ usedBytes: number, limitBytes: number }),
};

/** The response of an instance that is not the leader. */
export const FollowerAnswer = Type.Object({ ...ofEvery, export: exportHealth, cluster });

export const StatusAnswer = Type.Object({
  ...ofEvery,
  cluster: optional(cluster),
  counters,
  conservation,
  delivery: Type.Object({ pendingSince: optional(time), lastSuccess: times }),
  horizon: numbers,
  unverifiable: numbers,
  redeliveries: RedeliveriesAnswer,
  export: optional(exportHealth),
  destinations: optional(Type.Array(destination)),
  polls: optional(Type.Array(poll)),
  tailnet: optional(Type.Array(Type.Object({ task: text, trouble: text }))),
});

export const OverviewAnswer = Type.Object({
  version: text,
  at: time,
  startedAt: time,
  notReady: texts,
  degraded: texts,
  counters,
  conservation,
  pendingSince: optional(time),
  entries: number,
  talkers: Type.Array(Type.Object({ from: text, to: text, bytes: Type.Number({ minimum: 0 }) }), { maxItems: 1000 }),
  talkersSince: time,
});

const event = Type.Object({
  id: word,
  type: Type.Union([Type.Literal("flow"), Type.Literal("audit"), Type.Literal("webhook")]),
  acceptedAt: time,
  time,
  severity: word,
  body: text,
  attributes: Type.Record(Type.String(), Type.Union([text, number, Type.Boolean(), texts])),
});

export const EventsAnswer = Type.Object({
  events: Type.Array(event),
  next: word,
  isEnd: Type.Boolean(),
  behindSeconds: number,
  gap: optional(Type.Object({ reason: word, rows: number })),
  oldest: optional(time),
  back: optional(Type.Object({ before: word, to: optional(time), isStart: Type.Boolean() })),
});
