/** Hostile and faulty clients, none of which may affect the next request. */
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { zstdCompressSync } from "node:zlib";
import { defaultPath, healthPaths, ingestPaths } from "../../../src/receivers/hec/index.ts";
import { flowEnvelope, type HecServer, startHecServer, token } from "../../support/hec-server.ts";
import { head, sendRaw } from "../../support/raw-http.ts";
import { until } from "../../support/wait.ts";

const envelope = flowEnvelope(1);
const authorized = { authorization: `Splunk ${token}` };

async function isWell(server: HecServer): Promise<boolean> {
  const { status } = await server.post(envelope);
  return status === 200;
}

describe("the HEC receiver survives", () => {
  test.each([
    [
      "both lengths",
      head("POST", defaultPath, { ...authorized, "content-length": 5, "transfer-encoding": "chunked" }) + "0\r\n\r\n",
    ],
    [
      "two different lengths",
      `POST ${defaultPath} HTTP/1.1\r\nhost: x\r\nauthorization: ${token}\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}   `,
    ],
    [
      "a chunk size that is none",
      head("POST", defaultPath, { ...authorized, "transfer-encoding": "chunked" }) + "zz\r\n{}\r\n0\r\n\r\n",
    ],
    [
      "an unknown transfer encoding",
      head("POST", defaultPath, { ...authorized, "transfer-encoding": "xchunked" }) + "0\r\n\r\n",
    ],
    ["a negative length", head("POST", defaultPath, { ...authorized, "content-length": -1 })],
    ["no host", `POST ${defaultPath} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}`],
    ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    [
      "a flood of headers",
      `POST ${defaultPath} HTTP/1.1\r\nhost: x\r\n${"x-header: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20_000)}\r\n`,
    ],
    ["one endless header", `POST ${defaultPath} HTTP/1.1\r\nhost: x\r\nx-header: ${"a".repeat(1 << 20)}\r\n\r\n`],
  ])("%s", async (_, text) => {
    await using server = await startHecServer();
    const { status } = await sendRaw(server.port, [text], { until: "closed" });
    expect([0, 400, 431]).toContain(status);
    expect(server.pipeline.commits).toEqual([]);
    expect(await isWell(server)).toBe(true);
  });

  test("senders that disconnect in the middle of a body", async () => {
    await using server = await startHecServer();
    const pieces = [head("POST", defaultPath, { ...authorized, "content-length": 1000 }), envelope];
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => sendRaw(server.port, pieces, { endsAfter: true })),
    );
    expect(answers.map(({ status }) => status)).not.toContain(200);
    expect(server.pipeline.commits).toEqual([]);
    await server.idle();
    expect(server.inFlight).toBe(0);
    await until(() => server.rejected["timeout"] === 20);
  });

  test("a sender that half-closes the connection after a whole body, which is answered", async () => {
    await using server = await startHecServer();
    const pieces = [head("POST", defaultPath, { ...authorized, "content-length": envelope.length }), envelope];
    expect((await sendRaw(server.port, pieces, { endsAfter: true })).status).toBe(200);
  });

  test("200 dripping and 500 idle clients, while another sender continues", async () => {
    await using server = await startHecServer();
    const clients: Socket[] = [];
    const open = (text: string): void => {
      const socket = connect(server.port, "127.0.0.1").on("error", () => {});
      if (text !== "") socket.write(text);
      clients.push(socket);
    };
    for (let client = 0; client < 500; client++) open("");
    for (let client = 0; client < 200; client++)
      open(head("POST", defaultPath, { ...authorized, "content-length": 100_000 }));
    const drip = setInterval(() => {
      for (const socket of clients.slice(500)) socket.write("x");
    }, 50);
    try {
      await until(() => server.inFlight === 200);
      for (let request = 0; request < 50; request++) expect(await isWell(server)).toBe(true);
    } finally {
      clearInterval(drip);
      for (const socket of clients) socket.destroy();
    }
    await server.idle();
    expect(server.inFlight).toBe(0);
  });

  test("more requests in sequence than fit at once", async () => {
    await using server = await startHecServer();
    for (let request = 0; request < 300; request++) expect(await isWell(server)).toBe(true);
  });

  test("an unauthenticated request that announces a large body, for which no memory is reserved", async () => {
    await using server = await startHecServer({ max_inflight_bytes: 16 << 20 });
    const stranger = connect(server.port, "127.0.0.1").on("error", () => {});
    stranger.write(head("POST", defaultPath, { "content-length": 15 << 20 }));
    expect(await isWell(server)).toBe(true);
    stranger.destroy();
  });

  test("decompression bombs in sequence, and frees their memory", async () => {
    await using server = await startHecServer({ max_body_bytes: 1 << 20, max_inflight_bytes: 2 << 20 });
    const bomb = new Uint8Array(zstdCompressSync(Buffer.alloc(64 << 20, " ")));
    for (let request = 0; request < 5; request++) {
      expect((await server.post(bomb, { "content-encoding": "zstd" })).status).toBe(413);
    }
    expect(await isWell(server)).toBe(true);
  });
});

describe("HEC clients find the paths they expect", () => {
  test.each([...ingestPaths(defaultPath), ...healthPaths])("OPTIONS %s, as log drivers probe", async (path) => {
    await using server = await startHecServer();
    const answer = await server.fetch(path, { method: "OPTIONS" });
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
    expect(answer.headers.get("allow")).toBe(healthPaths.includes(path) ? "GET, HEAD, OPTIONS" : "POST, OPTIONS");
  });

  test.each([...ingestPaths(defaultPath)])("POST %s accepts records", async (path) => {
    await using server = await startHecServer();
    expect((await server.fetch(path, { method: "POST", body: envelope, headers: authorized })).status).toBe(200);
  });

  test.each([...healthPaths])("HEAD %s needs no token", async (path) => {
    await using server = await startHecServer();
    expect((await server.fetch(path, { method: "HEAD" })).status).toBe(200);
  });

  test("a configured path replaces the other ingest paths, but not the health paths", async () => {
    await using server = await startHecServer({ path: "/logs" });
    const post = (path: string): Promise<Response> =>
      server.fetch(path, { method: "POST", body: envelope, headers: authorized });
    expect((await post("/logs")).status).toBe(200);
    expect((await post("/logs/")).status).toBe(200);
    expect((await post(defaultPath)).status).toBe(404);
    expect((await server.fetch("/services/collector/health")).status).toBe(200);
  });

  test("a new token applies to the next request", async () => {
    await using server = await startHecServer();
    server.receiver.useTokens("new-token", token);
    expect((await server.post(envelope)).status).toBe(200);
    server.receiver.useTokens("new-token", "");
    expect((await server.post(envelope)).status).toBe(403);
    expect((await server.post(envelope, { authorization: "new-token" })).status).toBe(200);
  });

  test("requests are measured", async () => {
    await using server = await startHecServer();
    await server.post(envelope);
    await server.post("x");
    await server.post(envelope, { authorization: "wrong" });
    expect(server.durations).toBe(3);
    expect(server.sizes).toEqual([envelope.length, 1]);
    expect(server.rejected).toEqual({ unparsable: 1, auth: 1 });
  });

  test("bugs in this program are logged once a minute, with their stack", async () => {
    await using server = await startHecServer();
    server.pipeline.beforeCommit = () => {
      throw new TypeError("undefined is not a function");
    };
    for (let request = 0; request < 3; request++) expect((await server.post(envelope)).status).toBe(500);
    const lines = server.log.split("\n").filter((line) => line.includes("failed inside this program"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("TypeError: undefined is not a function");
  });

  test("refusals are logged once a minute, with their reason and sender", async () => {
    await using server = await startHecServer();
    for (let request = 0; request < 3; request++) await server.post("x");
    expect(server.log.split("\n")).toHaveLength(1);
    expect(server.log).toContain('"reason":"unparsable","peer":"127.0.0.1"');
  });
});
