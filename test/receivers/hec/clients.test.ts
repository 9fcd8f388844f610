/**
 * What widely used HEC clients send and how they react to the answers, according to their published sources:
 * - Docker's log driver: moby/moby `daemon/logger/splunk/splunk.go` (02b851b) and the mock that its own tests run
 *   against, `splunkhecmock_test.go` (0f4e7fc).
 * - Vector: vectordotdev/vector `src/sinks/splunk_hec/common/{util,service,retry}.rs` (048795b, 0088108, 3515c9d) and
 *   `logs/encoder.rs` (0bf6abd).
 * - Fluent Bit: fluent/fluent-bit `plugins/out_splunk/{splunk,splunk_conf}.c` (014528c, 05b26c5), `splunk.h` (0791a03).
 */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { Unavailable } from "../../../src/errors.ts";
import { type HecServer, startHecServer, token } from "../../support/hec-server.ts";
import { head, type RawAnswer, sendRaw } from "../../support/raw-http.ts";

interface Post {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly isGzip: boolean;
}

function send({ port }: HecServer, { path, headers, body, isGzip }: Post): Promise<RawAnswer> {
  const bytes = isGzip ? gzipSync(body) : Buffer.from(body);
  const encoding: Record<string, string> = isGzip ? { "content-encoding": "gzip" } : {};
  return sendRaw(port, [head("POST", path, { ...headers, ...encoding, "content-length": bytes.byteLength }), bytes]);
}

const journalIsFull = (): never => {
  throw new Unavailable("the journal is full");
};

describe.each([false, true])("Docker's log driver (splunk-gzip=%p)", (isGzip) => {
  const path = "/services/collector/event/1.0";
  const go = { "user-agent": "Go-http-client/1.1", "accept-encoding": "gzip" };
  /** A message in each of its three formats. The time is text with six decimals; messages have no separator. */
  const messages = [
    {
      event: { line: "hello", source: "stdout", tag: "8e2a", attrs: { region: "eu" } },
      time: "1790000000.125000",
      host: "node",
    },
    {
      event: { line: { a: 1 }, source: "stderr", tag: "8e2a" },
      time: "1790000001.000000",
      host: "node",
      index: "main",
    },
    { event: "8e2a hello", time: "1790000002.000000", host: "node", source: "s", sourcetype: "t" },
  ];
  const post: Post = {
    path,
    headers: { ...go, authorization: `Splunk ${token}` },
    body: messages.map((message) => JSON.stringify(message)).join(""),
    isGzip,
  };

  test("verifies the connection with an OPTIONS request without a token, and needs 200", async () => {
    await using server = await startHecServer();
    expect((await sendRaw(server.port, [head("OPTIONS", path, go)])).status).toBe(200);
  });

  test("treats 200 as success; its messages are accepted although none is a record", async () => {
    await using server = await startHecServer();
    expect((await send(server, post)).status).toBe(200);
    expect(server.pipeline.commits[0]?.skippedValues).toBe(messages.length);
  });

  test("keeps its messages on any other status, and logs the body", async () => {
    await using server = await startHecServer();
    const refused = await send(server, { ...post, headers: { ...post.headers, authorization: "Splunk other" } });
    expect(refused).toMatchObject({ status: 403, body: '{"text":"Invalid token","code":4}' });
    server.pipeline.beforeCommit = journalIsFull;
    expect((await send(server, post)).status).toBe(503);
  });
});

describe.each([false, true])("Vector's splunk_hec_logs sink (gzip: %p)", (isGzip) => {
  const headers = {
    authorization: `Splunk ${token}`,
    "content-type": "application/json",
    "x-splunk-request-channel": "8d1b5c9e",
  };
  const message = {
    event: { message: "hello world", key: "value" },
    fields: { field: "v" },
    time: 1_790_000_000.111,
    host: "node",
    source: "s",
  };
  const post: Post = { path: "/services/collector/event", headers, body: JSON.stringify(message).repeat(2), isGzip };

  test("checks health before it starts: 200 is healthy, 503 means full queues, and 400 a wrong token", async () => {
    await using server = await startHecServer();
    const health = (): Promise<RawAnswer> =>
      sendRaw(server.port, [head("GET", "/services/collector/health/1.0", { authorization: `Splunk ${token}` })]);
    expect((await health()).status).toBe(200);
    server.isFull = true;
    expect((await health()).status).toBe(503);
  });

  test("reads a text and a one-byte code from the answer, and does not wait for an acknowledgement without an ackId", async () => {
    await using server = await startHecServer();
    const answer = await send(server, post);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({ text: expect.any(String), code: 0 });
    expect(server.pipeline.commits[0]?.skippedValues).toBe(2);
  });

  test("retries after a 5xx except 501, and drops what a 4xx refuses", async () => {
    await using server = await startHecServer();
    server.pipeline.beforeCommit = journalIsFull;
    expect((await send(server, post)).status).toBe(503);
    expect((await send(server, { ...post, body: "{", isGzip: false })).status).toBe(400);
  });
});

describe.each([false, true])("Fluent Bit's splunk output (compress gzip: %p)", (isGzip) => {
  const event = '{"time":1790000000.125,"event":{"key":"value"}}';
  const agent = { "user-agent": "Fluent-Bit", "x-splunk-request-channel": "8d1b5c9e" };
  const post: Post = { path: "/services/collector/event", headers: agent, body: event + event, isGzip };
  const basic = Buffer.from(`alice:${token}`).toString("base64");

  test.each([
    ["splunk_token", `Splunk ${token}`],
    ["http_user and http_passwd", `Basic ${basic}`],
  ])("treats 200 as success, with %s", async (_, authorization) => {
    await using server = await startHecServer();
    expect((await send(server, { ...post, headers: { ...agent, authorization } })).status).toBe(200);
    expect(server.pipeline.commits[0]?.skippedValues).toBe(2);
  });

  test("retries after 408 and 5xx, and drops what any other 4xx refuses", async () => {
    await using hasty = await startHecServer({ request_timeout: 200 });
    await using server = await startHecServer();
    const headers = { ...agent, authorization: `Splunk ${token}` };
    const slow = await sendRaw(hasty.port, [head("POST", post.path, { ...headers, "content-length": 100 }), "{"]);
    expect(slow.status).toBe(408);
    server.pipeline.beforeCommit = journalIsFull;
    expect((await send(server, { ...post, headers })).status).toBe(503);
  });
});
