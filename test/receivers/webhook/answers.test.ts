/** Every row of the answers table, provoked over a real socket; and a valid delivery, tampered with in many ways. */
import { afterAll, describe, expect, test } from "bun:test";
import { Unavailable } from "../../../src/errors.ts";
import {
  type RejectedReason,
  type WebhookAnswerName,
  webhookAnswers,
} from "../../../src/receivers/webhook/protocol.ts";
import { head, sendRaw } from "../../support/raw-http.ts";
import { until } from "../../support/wait.ts";
import {
  macOf,
  signedAt,
  startWebhookServer,
  webhookEvent,
  webhookSecret,
  type WebhookServer,
} from "../../support/webhook-server.ts";

const path = "/tailscale/webhook";
const delivery = JSON.stringify([webhookEvent(1), webhookEvent(2)]);
const provoked = new Set<WebhookAnswerName>();

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Case {
  readonly name: string;
  readonly answer: WebhookAnswerName;
  readonly server?: Parameters<typeof startWebhookServer>[0];
  readonly timeoutMs?: number;
  /** Reasons for which events were quarantined. */
  readonly invalid?: readonly string[];
  readonly text?: string;
  /** Events accepted. */
  readonly events?: number;
  readonly rejected?: Readonly<Record<string, number>>;
  send(server: WebhookServer): Promise<Answer>;
}

async function posted(sent: Promise<Response>): Promise<Answer> {
  const response = await sent;
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
}
const post =
  (body: string, headers?: (seconds: number) => Readonly<Record<string, string>>): Case["send"] =>
  (server) =>
    posted(server.post(body, headers?.(server.now / 1000)));
const from =
  (headers: Readonly<Record<string, string>>): Case["send"] =>
  (server) =>
    posted(server.post(delivery, headers));
const open = { secret: "" };

const cases: Case[] = [
  { name: "a delivery", answer: "success", send: post(delivery) },
  { name: "an empty one", answer: "success", events: 0, send: post("[]") },
  { name: "white space around", answer: "success", send: post(`\n ${delivery}\r\n`) },
  {
    name: "an unknown type with any data",
    answer: "success",
    events: 1,
    send: post('[{"type":"x","data":{"a":[{}]}}]'),
  },
  { name: "a type alone", answer: "success", events: 1, send: post('[{"type":"test"}]') },
  {
    name: "nulls for what is absent",
    answer: "success",
    events: 1,
    send: post('[{"type":"test","data":null,"version":null}]'),
  },
  {
    name: "a time that is none",
    answer: "success",
    events: 1,
    send: post('[{"type":"test","timestamp":"yesterday"}]'),
  },
  {
    name: "the path with a slash at its end",
    answer: "success",
    send: (server) =>
      posted(
        server.fetch(`${path}/`, { method: "POST", body: delivery, headers: signedAt(server.now / 1000, delivery) }),
      ),
  },
  {
    name: "the previous secret",
    answer: "success",
    server: { secret_previous: "tskey-webhook-before" },
    send: post(delivery, (seconds) => signedAt(seconds, delivery, "tskey-webhook-before")),
  },
  {
    name: "a delivery at the edge of the past",
    answer: "success",
    send: post(delivery, (seconds) => signedAt(seconds - 300, delivery)),
  },
  {
    name: "a delivery at the edge of the future",
    answer: "success",
    send: post(delivery, (seconds) => signedAt(seconds + 300, delivery)),
  },
  {
    name: "an old one without a tolerance",
    answer: "success",
    server: { tolerance: 0 },
    send: post(delivery, (seconds) => signedAt(seconds - 1e8, delivery)),
  },
  {
    name: "a late one within its window",
    answer: "success",
    server: { late_retry_window: 3_600_000 },
    send: post(delivery, (seconds) => signedAt(seconds - 3900, delivery)),
  },
  { name: "no signature where none is asked for", answer: "success", server: open, send: from({}) },
  {
    name: "a wrong signature where none is asked for",
    answer: "success",
    server: open,
    send: from({ "tailscale-webhook-signature": "t=1,v1=0" }),
  },
  {
    name: "a page's request with a signature",
    answer: "success",
    send: post(delivery, (seconds) => ({
      ...signedAt(seconds, delivery),
      origin: "https://www.example.com",
    })),
  },

  {
    name: "signed, before the secret is known",
    answer: "secretUnknown",
    server: { ...open, auto_configure: true },
    rejected: { unavailable: 1 },
    send: post(delivery),
  },
  {
    name: "a page's request without a secret",
    answer: "crossSite",
    server: open,
    send: from({ origin: "https://www.example.com" }),
  },
  {
    name: "a cross-site request without a secret",
    answer: "crossSite",
    server: open,
    send: from({ "sec-fetch-site": "cross-site" }),
  },
  {
    name: "a strange host without a secret",
    answer: "crossSite",
    server: open,
    send: from({ host: "www.example.com" }),
  },

  {
    name: "an announced body over the limit",
    answer: "bodyTooLarge",
    server: { max_body_bytes: 100 },
    text: "The body is larger than 100 bytes (webhook.max_body_bytes)",
    send: post(delivery),
  },
  {
    name: "a chunked body over the limit",
    answer: "bodyTooLarge",
    server: { ...open, max_body_bytes: 100 },
    send: (server) =>
      sendRaw(server.port, [
        head("POST", path, { "transfer-encoding": "chunked" }),
        `65\r\n${"x".repeat(101)}\r\n`,
        "0\r\n\r\n",
      ]),
  },
  {
    name: "10,001 events",
    answer: "tooLarge",
    text: "More than 10000 events in one delivery (no setting changes this limit)",
    send: post(`[${Array(10_001).fill('{"type":"test"}').join(",")}]`),
  },
  {
    name: "one event of 300,001 members and elements",
    answer: "tooLarge",
    text: "More than 300000 members and elements in one value (no setting changes this limit)",
    send: post(`[{"type":"test","data":[${"{},".repeat(150_000)}{}]}]`),
  },
  {
    name: "a million opening brackets",
    answer: "tooLarge",
    text: "More than 1000 levels of nesting in one value (no setting changes this limit)",
    send: post("[".repeat(1_000_000)),
  },
  {
    name: "10,000 events",
    answer: "success",
    events: 10_000,
    send: post(`[${Array(10_000).fill('{"type":"test"}').join(",")}]`),
  },
  {
    name: "a body that stops coming",
    answer: "timeout",
    server: open,
    timeoutMs: 200,
    send: (server) => sendRaw(server.port, [head("POST", path, { "content-length": 100 }), "[{"]),
  },
  ...(
    [
      ["no JSON", "hello", "The body is not JSON"],
      ["nothing", "", "The body is not JSON"],
      ["a torn body", delivery.slice(0, -1), "The body is not JSON"],
      ["two arrays", delivery + delivery, "The body is not JSON"],
      ["null", "null", "The body is neither an array of events nor one event"],
      [
        "a Slack message",
        '{"text":"node created"}',
        "The body is a Slack message: in Tailscale's admin console, set the webhook's destination to a generic endpoint",
      ],
      [
        "a Discord message",
        '{"content":"node created"}',
        "The body is a Discord message: in Tailscale's admin console, set the webhook's destination to a generic endpoint",
      ],
    ] as const
  ).map(([name, body, text]): Case => ({ name, answer: "invalidBody", text, send: post(body) })),
  { name: "one event without an array", answer: "success", events: 1, send: post(JSON.stringify(webhookEvent(1))) },
  ...(
    [
      ["an array", "[]", "type is missing"],
      ["a number", "1", "type is missing"],
      ["an event without a type", "{}", "type is missing"],
      ["a type that is a number", '{"type":1}', "type must be a string, found a number"],
      ["a time that is a number", '{"type":"x","timestamp":1}', "timestamp must be a string, found a number"],
      ["a version that is text", '{"type":"x","version":"1"}', "version must be a number, found a string"],
      ["a tailnet that is a list", '{"type":"x","tailnet":[]}', "tailnet must be a string, found a list"],
      ["a message that is an object", '{"type":"x","message":{}}', "message must be a string, found a object"],
      ["data that is text", '{"type":"x","data":"y"}', "data must be an object, found a string"],
      [
        "an event 990 levels deep",
        `{"type":"x","data":${'{"a":'.repeat(990)}1${"}".repeat(990)}}`,
        "the event is nested deeper than 128 levels",
      ],
    ] as const
  ).map(([name, odd, why]): Case => ({
    name: `good events around ${name}`,
    answer: "success",
    invalid: [why],
    send: post(`[${JSON.stringify(webhookEvent(1))},${odd},${JSON.stringify(webhookEvent(2))}]`),
  })),
  {
    name: "invalid UTF-8",
    answer: "invalidBody",
    text: "The body is not UTF-8",
    server: open,
    send: (server) => posted(server.post(new Uint8Array([0x5b, 0x22, 0xff, 0x22, 0x5d]), {})),
  },
  {
    name: "a compressed body",
    answer: "unsupportedEncoding",
    server: open,
    send: (server) => posted(server.post(new Uint8Array(Bun.gzipSync(delivery)), { "content-encoding": "gzip" })),
  },
  {
    name: "a compressed body with a signature",
    answer: "unsupportedEncoding",
    send: post(delivery, (seconds) => ({ ...signedAt(seconds, delivery), "content-encoding": "zstd" })),
  },
  {
    name: "a body for which there is no room beside the others",
    answer: "busy",
    server: { ...open, max_body_bytes: 40 << 20 },
    events: 2,
    async send(server) {
      const large = delivery + " ".repeat(35 << 20);
      const committing = Promise.withResolvers<void>();
      const may = Promise.withResolvers<void>();
      server.pipeline.beforeCommit = () => (committing.resolve(), may.promise);
      const first = server.post(large, {});
      await committing.promise;
      const answer = await posted(server.post(large, {}));
      may.resolve();
      expect((await first).status).toBe(200);
      return answer;
    },
  },
  {
    name: "a full journal",
    answer: "unavailable",
    send(server) {
      server.pipeline.beforeCommit = () => {
        throw new Unavailable("the journal is full");
      };
      return posted(server.post(delivery));
    },
  },
  {
    name: "a commit that takes longer than the timeout",
    answer: "commitTimeout",
    events: 2,
    timeoutMs: 1000,
    async send(server) {
      const gate = Promise.withResolvers<void>();
      server.pipeline.beforeCommit = () => gate.promise;
      const answer = await posted(server.post(delivery));
      expect(server.inFlight).toBe(1);
      gate.resolve();
      return answer;
    },
  },
  {
    name: "a body that is still arriving at shutdown",
    answer: "shuttingDown",
    server: open,
    send: (server) =>
      sendRaw(server.port, [
        head("POST", path, { "content-length": 100 }),
        async () => {
          await until(() => server.inFlight === 1);
          // Bodies time out after half of that time, at most a second late.
          void server.stop(4000);
        },
        "[",
      ]),
  },
  {
    name: "a bug in this program",
    answer: "internalError",
    send(server) {
      server.pipeline.beforeCommit = () => {
        throw new TypeError("undefined is not a function");
      };
      return posted(server.post(delivery));
    },
  },
  {
    name: "another path",
    answer: "notFound",
    send: (server) => posted(server.fetch("/webhook", { method: "POST", body: "[]" })),
  },
  { name: "GET", answer: "methodNotAllowed", send: (server) => posted(server.fetch(path)) },
  {
    name: "PUT",
    answer: "methodNotAllowed",
    send: (server) => posted(server.fetch(path, { method: "PUT", body: "[]" })),
  },
];

describe("the webhook receiver answers", () => {
  test.each(cases)(
    "$name with $answer",
    async ({ answer, server: options, timeoutMs, text, events, invalid, rejected, send }) => {
      await using server = await startWebhookServer(options, timeoutMs === undefined ? {} : { timeoutMs });
      const row = webhookAnswers[answer];
      const { status, headers, body } = await send(server);
      provoked.add(answer);
      expect(status).toBe(row.status);
      expect(headers["content-type"]).toBe("application/json");
      for (const [name, value] of Object.entries(row.headers ?? {})) expect(headers[name]).toBe(value);
      expect(headers["allow"]).toBe((answer === "methodNotAllowed" ? "POST, OPTIONS" : undefined) as string);
      expect(JSON.parse(body)).toEqual({ text: text ?? (row.isDetailed ? expect.any(String) : row.text) });
      expect(server.rejected).toEqual(rejected ?? (row.rejected === undefined ? {} : { [row.rejected]: 1 }));
      expect(server.log + body).not.toContain(webhookSecret);
      await server.idle();
      expect(server.inFlight).toBe(0);
      const accepted = server.pipeline.commits.reduce((sum, { records }) => sum + records.length, 0);
      expect(accepted).toBe(events ?? (answer === "success" ? 2 : 0));
      const details = server.pipeline.commits.flatMap((commit) => commit.invalid.map(({ detail }) => detail));
      expect(details).toEqual([...(invalid ?? [])]);
    },
  );

  test("OPTIONS with the allowed methods", async () => {
    await using server = await startWebhookServer();
    const answer = await server.fetch(path, { method: "OPTIONS" });
    expect([answer.status, answer.headers.get("allow")]).toEqual([200, "POST, OPTIONS"]);
  });
});

/** How a man in the middle or somebody guessing changes a valid delivery, and the reason for its refusal. */
const tamperings: readonly [
  name: string,
  reason: RejectedReason,
  tamper: (right: { t: number; body: string; mac: string }) => { header?: string; body?: string },
][] = [
  ["the header left out", "missing_signature", () => ({})],
  ["an empty header", "missing_signature", () => ({ header: "" })],
  ["no time", "malformed_signature", ({ mac }) => ({ header: `v1=${mac}` })],
  ["no v1", "malformed_signature", ({ t }) => ({ header: `t=${t}` })],
  ["an older scheme alone", "malformed_signature", ({ t, mac }) => ({ header: `t=${t},v0=${mac}` })],
  ["two times", "malformed_signature", ({ t, mac }) => ({ header: `t=${t},t=${t + 1},v1=${mac}` })],
  ["a time in words", "malformed_signature", ({ mac }) => ({ header: `t=now,v1=${mac}` })],
  ["a time before all time", "malformed_signature", ({ t, mac }) => ({ header: `t=-${t},v1=${mac}` })],
  ["half a signature", "malformed_signature", ({ t, mac }) => ({ header: `t=${t},v1=${mac.slice(0, 32)}` })],
  ["no signature at all in v1", "malformed_signature", ({ t }) => ({ header: `t=${t},v1=` })],
  [
    "base64 in v1",
    "malformed_signature",
    ({ t, mac }) => ({ header: `t=${t},v1=${Buffer.from(mac, "hex").toString("base64")}` }),
  ],
  ["a recording, one second too old", "stale_timestamp", ({ t, body }) => ({ header: headerAt(t - 301, body) })],
  ["a recording of last year", "stale_timestamp", ({ t, body }) => ({ header: headerAt(t - 31_536_000, body) })],
  ["a signature for tomorrow", "future_timestamp", ({ t, body }) => ({ header: headerAt(t + 86_400, body) })],
  ["a time one second too far ahead", "future_timestamp", ({ t, body }) => ({ header: headerAt(t + 301, body) })],
  ["a recording with a new time", "bad_signature", ({ t, mac }) => ({ header: `t=${t + 1},v1=${mac}` })],
  ["the same time, written otherwise", "bad_signature", ({ t, mac }) => ({ header: `t=0${t},v1=${mac}` })],
  ["one letter of the body changed", "bad_signature", ({ body }) => ({ body: body.replace("alice", "alicf") })],
  ["a space after the body", "bad_signature", ({ body }) => ({ body: `${body} ` })],
  ["the body cut short", "bad_signature", ({ body }) => ({ body: body.slice(0, -1) })],
  ["the body emptied", "bad_signature", () => ({ body: "" })],
  ["the body written anew", "bad_signature", ({ body }) => ({ body: JSON.stringify(JSON.parse(body), undefined, 1) })],
  [
    "an event added",
    "bad_signature",
    ({ body }) => ({ body: body.replace("]", `,${JSON.stringify(webhookEvent(3))}]`) }),
  ],
  [
    "one digit of the signature changed",
    "bad_signature",
    ({ t, mac }) => ({ header: `t=${t},v1=${mac.slice(0, -1)}${mac.endsWith("0") ? 1 : 0}` }),
  ],
  ["a signature of zeros", "bad_signature", ({ t }) => ({ header: `t=${t},v1=${"0".repeat(64)}` })],
  ["another secret", "bad_signature", ({ t, body }) => ({ header: headerAt(t, body, "tskey-webhook-other") })],
  [
    "the secret without its prefix",
    "bad_signature",
    ({ t, body }) => ({ header: headerAt(t, body, webhookSecret.replace("tskey-webhook-", "")) }),
  ],
  ["an empty secret", "bad_signature", ({ t, body }) => ({ header: headerAt(t, body, "") })],
  [
    "the body signed without the time",
    "bad_signature",
    ({ t, body }) => ({ header: `t=${t},v1=${macOf(webhookSecret, body)}` }),
  ],
  ["the signature of another delivery", "bad_signature", ({ t }) => ({ header: headerAt(t, "[]") })],
];

function headerAt(seconds: number, body: string, secret?: string): string {
  return signedAt(seconds, body, secret)["tailscale-webhook-signature"] ?? "";
}

describe("a valid delivery, tampered with:", () => {
  test.each(tamperings)("%s is refused as %s", async (_, reason, tamper) => {
    await using server = await startWebhookServer();
    const t = server.now / 1000;
    const right = { t, body: delivery, mac: macOf(webhookSecret, `${t}.${delivery}`) };
    const changed = tamper(right);
    const header = "header" in changed || !("body" in changed) ? changed.header : headerAt(t, delivery);
    const answer = await server.post(
      changed.body ?? delivery,
      header === undefined ? {} : { "tailscale-webhook-signature": header },
    );
    expect(answer.status).toBe(401);
    expect(server.rejected).toEqual({ [reason]: 1 });
    expect(server.log).toContain(`"reason":"${reason}"`);
    expect(server.pipeline.commits).toEqual([]);
    expect(Object.keys((await answer.json()) as object)).toEqual(["text"]);
    expect((await server.post(delivery)).status).toBe(200);
  });

  test("the tamperings are numerous enough and cover every reason", () => {
    expect(tamperings.length).toBeGreaterThanOrEqual(20);
    expect(new Set(tamperings.map(([, reason]) => reason)).size).toBe(5);
  });
});

afterAll(() => {
  for (const row of [
    "missingSignature",
    "malformedSignature",
    "staleTimestamp",
    "futureTimestamp",
    "badSignature",
  ] as const)
    provoked.add(row);
  expect([...provoked].toSorted()).toEqual((Object.keys(webhookAnswers) as WebhookAnswerName[]).toSorted());
});
