/** Refusals as real clients see them, and senders that tie up resources others need. */
import { describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { Unavailable } from "../../src/errors.ts";
import { buildGoFile } from "../support/go-build.ts";
import { flowEnvelope, startHecServer, token } from "../support/hec-server.ts";
import { head } from "../support/raw-http.ts";
import { signedAt, startWebhookServer, webhookEvent } from "../support/webhook-server.ts";

const canRun = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const mebibytes = 1024 * 1024;

interface Post {
  readonly url: string;
  readonly bytes: number;
  readonly times: number;
  readonly authorization?: string;
}

function outputOf(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  return new Promise((resolve) => child.on("close", () => resolve(output.trim())));
}

const python = `
import http.client, sys, urllib.parse
url, size, times, authorization = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
where = urllib.parse.urlsplit(url)
for _ in range(times):
    try:
        connection = http.client.HTTPConnection(where.netloc)
        connection.request("POST", where.path, b" " * size, {"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        print(answer.status, answer.read().decode())
    except Exception as error:
        print(error)
`;
import { until } from "../support/wait.ts";

const clients: readonly [name: string, isHere: () => boolean, post: (post: Post) => Promise<string>][] = [
  [
    "Go's net/http",
    () => canRun("go", "version"),
    ({ url, bytes, times, authorization }) => {
      const source = fileURLToPath(new URL("../support/posting-client.go", import.meta.url));
      const args = [url, String(bytes), String(times), ...(authorization === undefined ? [] : [authorization])];
      return outputOf(buildGoFile("posting-client", source), args);
    },
  ],
  [
    "Python's http.client",
    () => canRun("python3", "--version"),
    ({ url, bytes, times, authorization = "" }) =>
      outputOf("python3", ["-c", python, url, String(bytes), String(times), authorization]),
  ],
  [
    "curl",
    () => canRun("curl", "--version"),
    async ({ url, bytes, times, authorization }) => {
      const script = `head -c ${bytes} /dev/zero | curl -s --data-binary @- -w ' %{http_code}\\n' -H "$1" "$0"`;
      const header = authorization === undefined ? "X-None: 1" : `Authorization: ${authorization}`;
      const answers: string[] = [];
      for (let time = 0; time < times; time++) answers.push(await outputOf("sh", ["-c", script, url, header]));
      return answers.map((answer) => answer.replace(/^(.*) (\d+)$/, "$2 $1")).join("\n");
    },
  ],
];

describe.each(clients)("%s sees every refusal of a large body:", (_, isHere, post) => {
  test.skipIf(!isHere()).each([
    ["no token, 11 MB", 11e6, undefined, '401 {"text":"Token is required","code":2}'],
    ["a wrong token, 11 MB", 11e6, "Splunk wrong", '403 {"text":"Invalid token","code":4}'],
    ["a wrong token, 64 MiB", 64 * mebibytes, "Splunk wrong", '403 {"text":"Invalid token","code":4}'],
    [
      "a body over the limit",
      64 * mebibytes + 1,
      `Splunk ${token}`,
      '413 {"text":"The body is larger than 67108864 bytes (streaming.max_body_bytes)","code":6}',
    ],
  ])(
    "%s",
    async (_name, bytes, authorization, answer) => {
      await using server = await startHecServer();
      const url = `http://127.0.0.1:${server.port}/services/collector/event`;
      const times = bytes > 20e6 ? 3 : 10;
      const seen = await post({ url, bytes, times, ...(authorization !== undefined && { authorization }) });
      expect(seen.split("\n").filter((line) => line !== "")).toEqual(Array(times).fill(answer));
    },
    120_000,
  );
});

/** Connections that send this text and then nothing more. */
function stalled(port: number, count: number, text: string): Socket[] {
  return Array.from({ length: count }, () => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    socket.write(text);
    return socket;
  });
}

describe("webhooks are accepted", () => {
  const body = JSON.stringify([webhookEvent(1)]);

  test("beside 600 unsigned connections that announce a body", async () => {
    await using server = await startWebhookServer();
    const sockets = stalled(server.port, 600, head("POST", "/tailscale/webhook", { "content-length": 4 * mebibytes }));
    await until(() => server.rejected["missing_signature"] === 600);
    expect(server.inFlight).toBe(0);
    expect((await server.post(body)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });

  test("beside 60 connections with a plausible signature header that announce more than the memory limit", async () => {
    await using server = await startWebhookServer();
    const headers = { ...signedAt(server.now / 1000, "another body"), "content-length": 4 * mebibytes };
    const sockets = stalled(server.port, 60, `${head("POST", "/tailscale/webhook", headers)}[`);
    await until(() => server.inFlight === 60);
    expect((await server.post(body)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await server.idle();
    expect(server.inFlight).toBe(0);
  });

  test("beside 256 of them, as many as may be read at once, once the slowest are answered with 503", async () => {
    await using server = await startWebhookServer();
    const headers = { ...signedAt(server.now / 1000, "another body"), "content-length": 4 * mebibytes };
    const sockets = stalled(server.port, 256, `${head("POST", "/tailscale/webhook", headers)}[`);
    await until(() => server.inFlight === 256);
    const statuses: number[] = [];
    await until(async () => statuses.push((await server.post(body)).status) > 0 && statuses.at(-1) !== 503);
    expect(statuses.at(-1)).toBe(200);
    expect(server.rejected["overloaded"]).toBeGreaterThan(0);
    for (const socket of sockets) socket.destroy();
  });
});

test("announced bodies reserve no memory that a stream without a token needs", async () => {
  await using server = await startHecServer({ token: "", max_inflight_bytes: 16 * mebibytes });
  const text = head("POST", "/services/collector/event", { "content-length": 15 * mebibytes });
  const sockets = stalled(server.port, 40, `${text}{`);
  await until(() => server.inFlight === 40);
  expect((await server.post(flowEnvelope(1))).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});

test("the log line of a refusal says who was refused, why, and what to do", async () => {
  await using server = await startHecServer();
  await server.post(flowEnvelope(1), { authorization: "Splunk wrong" });
  await server.post(`${flowEnvelope(1)}{"a":tru}`);
  await server.post(flowEnvelope(1), { "content-encoding": "br" });
  expect(server.log.replaceAll(/ \{.*\}$/gm, "").split("\n")).toEqual([
    "stream request from 127.0.0.1 refused with 403: its token is neither streaming.token nor streaming.token_previous. In Tailscale's log streaming settings, enter the value of streaming.token; after it was changed, set streaming.token_previous to the old one until the sender has the new one",
    "stream request from 127.0.0.1 refused with 400: it is not valid JSON (value 2). Nothing of it was accepted: the body must be a sequence of JSON objects, or an array of them",
    'stream request from 127.0.0.1 refused with 415: Content-Encoding "br" is not supported. Use gzip, zstd or none, or set streaming.decompress to what the sender uses',
  ]);
});

test("the log line of a refusal names the setting that would help, or says that there is none", async () => {
  await using server = await startHecServer({ max_body_bytes: 5 * mebibytes });
  await server.post(" ".repeat(5 * mebibytes + 1));
  await server.post(`{"a":"${"x".repeat(4 * mebibytes)}"}`);
  expect(server.log.replaceAll(/ \{.*\}$/gm, "").split("\n")).toEqual([
    "stream request from 127.0.0.1 refused with 413: The body is larger than 5242880 bytes (streaming.max_body_bytes). Nothing of it was accepted: send smaller requests, or raise streaming.max_body_bytes, and streaming.max_inflight_bytes to at least as much",
    "stream request from 127.0.0.1 refused with 413: More than 4194304 bytes in one value (no setting changes this limit). Nothing of it was accepted: send smaller requests and records",
  ]);
});

test("a commit that misses its deadline is logged as slow, and one the journal refuses with the journal's reason", async () => {
  await using server = await startHecServer({ request_timeout: 1000 });
  const committing = Promise.withResolvers<void>();
  server.pipeline.beforeCommit = () => committing.promise;
  expect((await server.post(flowEnvelope(1))).status).toBe(503);
  committing.resolve();
  server.pipeline.beforeCommit = () => {
    throw new Unavailable("the journal is full. Free some of it.");
  };
  expect((await server.post(flowEnvelope(2))).status).toBe(503);
  expect(server.log.replaceAll(/ \{.*\}$/gm, "").split("\n")).toEqual([
    "stream request from 127.0.0.1 refused with 503: not committed within 1000 ms. The sender should retry; the disk or the machine is too slow for the load",
    "stream request from 127.0.0.1 refused with 503: the journal is full. Free some of it. The sender should retry; `tailscale2otel status` shows the state of the journal",
  ]);
});

test("behind a local proxy, requests to the host of public_url need no token or secret if none is configured", async () => {
  await using hec = await startHecServer({ token: "", public_url: "https://logs.example.com:8443/in" });
  await using webhook = await startWebhookServer({ secret: "", public_url: "https://hooks.example.com/in" });
  const from = async (server: typeof hec | typeof webhook, body: string, host: string): Promise<number> =>
    (await server.post(body, { host })).status;
  expect(await from(hec, flowEnvelope(1), "logs.example.com")).toBe(200);
  expect(await from(hec, flowEnvelope(1), "LOGS.example.com:8443")).toBe(200);
  expect(await from(hec, flowEnvelope(1), "www.example.com")).toBe(403);
  expect(await from(webhook, "[]", "hooks.example.com")).toBe(200);
  expect(await from(webhook, "[]", "logs.example.com")).toBe(403);
});
