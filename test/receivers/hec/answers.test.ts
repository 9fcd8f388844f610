/** Every row of the answers table, provoked over a real socket. */
import { afterAll, describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Unavailable } from "../../../src/errors.ts";
import { type HecAnswerName, hecAnswers } from "../../../src/receivers/hec/protocol.ts";
import { flowEnvelope, type HecServer, startHecServer, token } from "../../support/hec-server.ts";
import { head, sendRaw } from "../../support/raw-http.ts";
import { connection, flowValue } from "../../support/records.ts";
import { until } from "../../support/wait.ts";

const path = "/services/collector/event";
const envelope = flowEnvelope(1);
/** 3 MiB of text, and twice as much in memory. */
const manyEnvelopes = Array.from({ length: 12_000 }, (_, serial) => flowEnvelope(serial)).join("");
const provoked = new Set<HecAnswerName>();

interface Case {
  readonly name: string;
  readonly answer: HecAnswerName;
  readonly server?: Parameters<typeof startHecServer>[0];
  readonly index?: number;
  readonly text?: string;
  readonly allow?: string;
  /** Rejections by reason, unless it is the row's reason once. */
  readonly rejected?: Readonly<Record<string, number>>;
  /** Batches committed, if another request commits one too. */
  readonly committed?: number;
  send(server: HecServer): Promise<{ status: number; headers: Record<string, string>; body: string }>;
}

async function posted(sent: Promise<Response>): ReturnType<Case["send"]> {
  const response = await sent;
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
}
const post =
  (body: BodyInit, headers?: Record<string, string>): Case["send"] =>
  (server) =>
    posted(server.post(body, headers));
const withAuthorization = (authorization: string): Case["send"] => post(envelope, { authorization });
const basic = (user: string, secret: string): string => `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
const cut = (bytes: Uint8Array, end: number): Uint8Array<ArrayBuffer> => new Uint8Array(bytes.subarray(0, end));
const whole = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
const chunked =
  (body: string): Case["send"] =>
  (server) =>
    sendRaw(server.port, [
      head("POST", path, { authorization: token, "transfer-encoding": "chunked" }),
      ...[...body.matchAll(/[^]{1,50}/g)].map(([piece]) => `${piece.length.toString(16)}\r\n${piece}\r\n`),
      "0\r\n\r\n",
    ]);
/** Stops the server between the two pieces, while another request keeps it busy. */
async function stopDuring(server: HecServer, first: string, second: string): ReturnType<Case["send"]> {
  const gate = Promise.withResolvers<void>();
  server.pipeline.beforeCommit = () => gate.promise;
  const other = server.post(envelope);
  const stop = async (): Promise<void> => {
    // The answer to this request shows that the first piece has arrived.
    await server.fetch("/services/collector/health");
    await until(() => server.inFlight >= 1);
    // Bodies time out after half of that time, at most a second late.
    void server.stop(4000);
  };
  const answer = await sendRaw(server.port, [first, stop, second]);
  gate.resolve();
  expect((await other).status).toBe(200);
  return answer;
}
const gzip = { "content-encoding": "gzip" };
const zstd = { "content-encoding": "zstd" };

const cases: Case[] = [
  { name: "one envelope", answer: "success", send: post(envelope) },
  { name: "an empty list", answer: "success", send: post("[]") },
  { name: "a list of envelopes", answer: "success", send: post(`[${envelope},${flowEnvelope(2)}]`) },
  { name: "an unknown kind of record", answer: "success", send: post('{"event":{"hello":"world"}}') },
  { name: "a byte order mark", answer: "success", send: post(`\uFEFF${envelope}`) },
  { name: "gzip", answer: "success", send: post(whole(gzipSync(envelope)), gzip) },
  { name: "x-gzip", answer: "success", send: post(whole(gzipSync(envelope)), { "content-encoding": "X-Gzip" }) },
  {
    name: "two gzip members",
    answer: "success",
    send: post(whole(Buffer.concat([gzipSync(envelope), gzipSync(envelope)])), gzip),
  },
  { name: "zstd", answer: "success", send: post(whole(zstdCompressSync(envelope)), zstd) },
  {
    name: "two zstd frames",
    answer: "success",
    send: post(whole(Buffer.concat([zstdCompressSync(envelope), zstdCompressSync(envelope)])), zstd),
  },
  { name: "identity", answer: "success", send: post(envelope, { "content-encoding": "identity" }) },
  {
    name: "a forced zstd mode, without the header",
    answer: "success",
    server: { decompress: "zstd" },
    send: post(whole(zstdCompressSync(envelope))),
  },
  {
    name: "a forced none mode, with a header that lies",
    answer: "success",
    server: { decompress: "none" },
    send: post(envelope, gzip),
  },
  { name: "a chunked body", answer: "success", send: chunked(envelope) },
  { name: "Splunk credential", answer: "success", send: withAuthorization(`Splunk ${token}`) },
  { name: "splunk credential in small letters", answer: "success", send: withAuthorization(`splunk ${token}`) },
  { name: "Bearer credential", answer: "success", send: withAuthorization(`Bearer ${token}`) },
  { name: "Basic credential", answer: "success", send: withAuthorization(basic("splunk", token)) },
  { name: "bare token", answer: "success", send: withAuthorization(token) },
  {
    name: "previous token",
    answer: "success",
    server: { token_previous: "old-token" },
    send: withAuthorization("Splunk old-token"),
  },
  { name: "no token asked for", answer: "success", server: { token: "" }, send: post(envelope) },

  {
    name: "no credential",
    answer: "tokenRequired",
    send: (server) => posted(server.fetch(path, { method: "POST", body: envelope })),
  },
  { name: "a scheme without a token", answer: "invalidAuthorization", send: withAuthorization("Splunk") },
  { name: "an unknown scheme", answer: "invalidAuthorization", send: withAuthorization(`Digest ${token}`) },
  { name: "Basic that is no base64", answer: "invalidAuthorization", send: withAuthorization("Basic ***") },
  { name: "Basic without a colon", answer: "invalidAuthorization", send: withAuthorization(`Basic ${btoa(token)}`) },
  { name: "Basic with an empty password", answer: "invalidAuthorization", send: withAuthorization(basic(token, "")) },
  { name: "a wrong token", answer: "invalidToken", send: withAuthorization("Splunk wrong") },
  {
    name: "the beginning of the token",
    answer: "invalidToken",
    send: withAuthorization(`Splunk ${token.slice(0, -1)}`),
  },
  {
    name: "an empty previous token does not match an empty one",
    answer: "invalidAuthorization",
    send: withAuthorization("Bearer "),
  },

  {
    name: "a page's request without a token",
    answer: "crossSite",
    server: { token: "" },
    send: post(envelope, { origin: "https://evil.example" }),
  },
  {
    name: "a cross-site request without a token",
    answer: "crossSite",
    server: { token: "" },
    send: post(envelope, { "sec-fetch-site": "cross-site" }),
  },
  {
    name: "a strange host on loopback without a token",
    answer: "crossSite",
    server: { token: "" },
    send: post(envelope, { host: "evil.example:8088" }),
  },
  ...["127.0.0.1", "localhost:8088", "[::1]:8088"].map((host): Case => ({
    name: `the host ${host} on loopback without a token`,
    answer: "success",
    server: { token: "" },
    send: post(envelope, { host }),
  })),
  {
    name: "an own host on loopback without a token",
    answer: "success",
    server: { token: "", public_url: "https://node.tail1234.ts.net" },
    send: post(envelope, { host: "node.tail1234.ts.net" }),
  },
  { name: "a strange host with a token", answer: "success", send: post(envelope, { host: "node.tail1234.ts.net" }) },

  { name: "an empty body", answer: "noData", send: post("") },
  { name: "white space alone", answer: "noData", send: post(" \r\n\t") },
  { name: "an empty body in gzip", answer: "noData", send: post(whole(gzipSync("")), gzip) },
  { name: "no JSON", answer: "invalidBody", index: 0, send: post("hello") },
  { name: "a top-level number", answer: "invalidBody", index: 0, send: post("17") },
  { name: "a top-level string", answer: "invalidBody", index: 0, send: post('"text"') },
  {
    name: "a torn third value",
    answer: "invalidBody",
    index: 2,
    send: post(envelope + envelope + envelope.slice(0, 40)),
  },
  { name: "garbage after the values", answer: "invalidBody", index: 1, send: post(`${envelope} x`) },
  { name: "commas between values", answer: "invalidBody", index: 1, send: post(`${envelope},${envelope}`) },
  { name: "a list that does not end", answer: "invalidBody", index: 2, send: post(`[${envelope},${envelope}`) },
  { name: "a list with a comma too many", answer: "invalidBody", index: 1, send: post(`[${envelope},]`) },
  {
    name: "invalid UTF-8 in the second value",
    answer: "invalidBody",
    index: 1,
    send: post(whole(Buffer.concat([Buffer.from(`${envelope}{"a":"`), Buffer.from([0xff, 0x22, 0x7d])]))),
  },
  { name: "a NUL byte between values", answer: "invalidBody", index: 1, send: post(`${envelope}\0${envelope}`) },
  { name: "gzip that is none", answer: "invalidBody", index: 0, send: post(envelope, gzip) },
  { name: "truncated gzip", answer: "invalidBody", index: 1, send: post(cut(gzipSync(envelope), -5), gzip) },
  { name: "truncated zstd", answer: "invalidBody", send: post(cut(zstdCompressSync(envelope), -3), zstd) },
  {
    name: "zstd and then garbage",
    answer: "invalidBody",
    send: post(whole(Buffer.concat([zstdCompressSync(envelope), Buffer.from("junk")])), zstd),
  },
  { name: "nothing, called zstd", answer: "invalidBody", index: 0, send: post("", zstd) },

  {
    name: "an announced body over the limit",
    answer: "bodyTooLarge",
    server: { max_body_bytes: 100 },
    text: "The body is larger than 100 bytes (streaming.max_body_bytes)",
    send: post(envelope),
  },
  {
    name: "a chunked body over the limit",
    answer: "bodyTooLarge",
    server: { max_body_bytes: 100 },
    send: chunked("x".repeat(101)),
  },
  {
    name: "a body over the limit once inflated",
    answer: "bodyTooLarge",
    server: { max_body_bytes: 1000 },
    send: post(whole(zstdCompressSync(" ".repeat(1001))), zstd),
  },
  {
    name: "a body that all memory in flight could not hold",
    answer: "bodyTooLarge",
    server: { max_body_bytes: -1, max_inflight_bytes: 100 },
    text: "The body is larger than 100 bytes (streaming.max_inflight_bytes)",
    send: post(envelope),
  },
  {
    name: "a 256 MiB bomb",
    answer: "bodyTooLarge",
    send: post(whole(zstdCompressSync(Buffer.alloc(256 << 20))), zstd),
  },
  {
    name: "as many zstd frames as a body may have",
    answer: "success",
    send: post(whole(Buffer.concat([...Array(9999).fill(zstdCompressSync(" ")), zstdCompressSync(envelope)])), zstd),
  },
  {
    name: "10,001 zstd frames",
    answer: "tooLarge",
    text: "More than 10000 frames in one zstd body (no setting changes this limit)",
    send: post(whole(Buffer.concat(Array(10_001).fill(zstdCompressSync(" ")))), zstd),
  },
  {
    name: "500,001 records",
    answer: "tooLarge",
    text: "More than 500000 records in one request (no setting changes this limit)",
    send: post("{}".repeat(500_001)),
  },
  {
    name: "500,001 records in one wrapper",
    answer: "tooLarge",
    text: "More than 500000 records in one request (no setting changes this limit)",
    send: post(`{"logs":[${"0,".repeat(500_000)}0]}`),
  },
  {
    name: "one record of as many whole entries as a record may have",
    answer: "success",
    send: post(JSON.stringify({ event: flowValue({ virtualTraffic: Array(16_384).fill(connection()) }) })),
  },
  {
    name: "one value of too many objects",
    answer: "tooLarge",
    text: "More than 150000 members and elements in one value (no setting changes this limit)",
    send: post(`{"a":[${"{},".repeat(150_000)}{}]}`),
  },
  {
    name: "one value of more than 4 MiB",
    answer: "tooLarge",
    text: "More than 4194304 bytes in one value (no setting changes this limit)",
    send: post(`{"a":"${"x".repeat(4 << 20)}"}`),
  },
  {
    name: "1,000,001 connection entries",
    answer: "tooLarge",
    text: "More than 1000000 connection entries in one request (no setting changes this limit)",
    send: post(
      envelope.replace(/"virtualTraffic":\[[^\]]*\]/, `"virtualTraffic":[${"{},".repeat(16_383)}{}]`).repeat(62),
    ),
  },

  { name: "deflate", answer: "unsupportedEncoding", send: post(envelope, { "content-encoding": "deflate" }) },
  { name: "two encodings", answer: "unsupportedEncoding", send: post(envelope, { "content-encoding": "gzip, zstd" }) },

  {
    name: "a body that stops half-way",
    answer: "timeout",
    server: { request_timeout: 200 },
    send: (server) => sendRaw(server.port, [head("POST", path, { authorization: token, "content-length": 100 }), "{"]),
  },
  {
    name: "a chunked body that stops half-way",
    answer: "timeout",
    server: { request_timeout: 200 },
    send: (server) =>
      sendRaw(server.port, [
        head("POST", path, { authorization: token, "transfer-encoding": "chunked" }),
        "1\r\n{\r\n",
      ]),
  },
  {
    name: "a body for which there is no room beside the others",
    answer: "busy",
    server: { max_inflight_bytes: 16 << 20 },
    committed: 1,
    async send(server) {
      const large = envelope + " ".repeat(10 << 20);
      const gate = Promise.withResolvers<void>();
      const committing = new Promise<void>((resolve) => {
        server.pipeline.beforeCommit = () => (resolve(), gate.promise);
      });
      const first = server.post(large);
      await committing;
      const second = await posted(server.post(large));
      gate.resolve();
      expect((await first).status).toBe(200);
      return second;
    },
  },
  {
    name: "no turn within the timeout of requests",
    answer: "busy",
    server: { max_concurrent_requests: 1, request_timeout: 1000 },
    rejected: { overloaded: 1, unavailable: 1 },
    committed: 1,
    async send(server) {
      const gate = Promise.withResolvers<void>();
      const committing = new Promise<void>((resolve) => {
        server.pipeline.beforeCommit = () => (resolve(), gate.promise);
      });
      const first = server.post(envelope);
      await committing;
      const second = await posted(server.post(envelope));
      expect((await first).status).toBe(503);
      gate.resolve();
      return second;
    },
  },
  {
    name: "a full journal",
    answer: "unavailable",
    send(server) {
      server.pipeline.beforeCommit = () => {
        throw new Unavailable("the journal is full");
      };
      return posted(server.post(envelope));
    },
  },
  {
    name: "records that take more memory than all requests may, in a body that does not",
    answer: "bodyTooLarge",
    server: { max_inflight_bytes: 6 * 1024 * 1024 },
    text: "The body is larger than 6291456 bytes (streaming.max_inflight_bytes)",
    send: post(manyEnvelopes),
  },
  {
    name: "a large body while another one is worked on",
    answer: "commitTimeout",
    committed: 1,
    server: { request_timeout: 5000 },
    rejected: { unavailable: 2 },
    async send(server) {
      const [entered, committing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      server.pipeline.beforeCommit = () => {
        server.pipeline.beforeCommit = () => {};
        entered.resolve();
        return committing.promise;
      };
      const first = posted(server.post(manyEnvelopes));
      await entered.promise;
      const answer = await posted(server.post(manyEnvelopes));
      committing.resolve();
      await first;
      await server.idle();
      return answer;
    },
  },
  {
    name: "a commit that takes longer than the timeout of requests",
    answer: "commitTimeout",
    committed: 1,
    server: { request_timeout: 1000 },
    async send(server) {
      const gate = Promise.withResolvers<void>();
      server.pipeline.beforeCommit = () => gate.promise;
      const answer = await posted(server.post(envelope));
      expect(server.inFlight).toBe(1);
      gate.resolve();
      await server.idle();
      return answer;
    },
  },
  {
    name: "a body that is still arriving at shutdown",
    answer: "shuttingDown",
    committed: 1,
    send: (server) => stopDuring(server, head("POST", path, { authorization: token, "content-length": 100 }), "{"),
  },
  {
    name: "a request whose headers are still arriving at shutdown",
    answer: "shuttingDown",
    committed: 1,
    send(server) {
      const text = head("POST", path, { authorization: token, "content-length": envelope.length }) + envelope;
      return stopDuring(server, text.slice(0, 20), text.slice(20));
    },
  },
  {
    name: "a bug in this program",
    answer: "internalError",
    send(server) {
      server.pipeline.beforeCommit = () => {
        throw new TypeError("undefined is not a function");
      };
      return posted(server.post(envelope));
    },
  },
  { name: "health", answer: "healthy", send: (server) => posted(server.fetch("/services/collector/health")) },
  {
    name: "health, with a trailing slash",
    answer: "healthy",
    send: (server) => posted(server.fetch("/services/collector/health/1.0/")),
  },
  {
    name: "health with a full journal",
    answer: "queuesFull",
    send(server) {
      server.isFull = true;
      return posted(server.fetch("/services/collector/health/1.0"));
    },
  },
  {
    name: "health while shutting down",
    answer: "shuttingDown",
    committed: 1,
    rejected: {},
    send(server) {
      const text = head("GET", "/services/collector/health", {});
      return stopDuring(server, text.slice(0, 20), text.slice(20));
    },
  },
  {
    name: "another path",
    answer: "notFound",
    send: (server) => posted(server.fetch("/services/collector/raw", { method: "POST", body: envelope })),
  },
  {
    name: "a path in other letters",
    answer: "notFound",
    send: (server) => posted(server.fetch(path.toUpperCase(), { method: "POST", body: envelope })),
  },
  {
    name: "GET where records are posted",
    answer: "methodNotAllowed",
    allow: "POST, OPTIONS",
    send: (server) => posted(server.fetch(path)),
  },
  {
    name: "DELETE of health",
    answer: "methodNotAllowed",
    allow: "GET, HEAD, OPTIONS",
    send: (server) => posted(server.fetch("/services/collector/health", { method: "DELETE" })),
  },
];

describe("the HEC receiver answers", () => {
  test.each(cases)(
    "$name with $answer",
    async ({ answer, server: options, index, text, allow, rejected, committed, send }) => {
      await using server = await startHecServer(options);
      const row = hecAnswers[answer];
      const { status, headers, body } = await send(server);
      provoked.add(answer);

      expect(status).toBe(row.status);
      expect(headers["content-type"]).toBe("application/json");
      expect(headers["retry-after"]).toBe(row.headers?.["retry-after"] as string);
      const closes = answer === "shuttingDown" ? "close" : row.headers?.["connection"];
      expect(headers["connection"]).toBe(closes as string);
      expect(headers["allow"]).toBe(allow as string);
      const { "invalid-event-number": damaged, ...rest } = JSON.parse(body);
      expect(rest).toEqual({
        text: row.isDetailed ? expect.any(String) : row.text,
        ...(row.code !== undefined && { code: row.code }),
      });
      if (text !== undefined) expect(rest.text).toBe(text);
      if (row.namesValue) expect(damaged).toBe(index ?? 0);
      else expect(damaged).toBeUndefined();
      expect(server.rejected).toEqual(rejected ?? (row.rejected === undefined ? {} : { [row.rejected]: 1 }));
      expect(server.log + body).not.toContain(token);
      await server.idle();
      expect(server.inFlight).toBe(0);
      expect(server.pipeline.commits).toHaveLength(committed ?? (answer === "success" ? 1 : 0));
    },
    60_000,
  );

  afterAll(() => {
    expect([...provoked].toSorted()).toEqual((Object.keys(hecAnswers) as HecAnswerName[]).toSorted());
  });
});
