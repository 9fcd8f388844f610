/** Tests a single POST: how each answer of a backend is interpreted, how long it may take, and what is never logged. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { gzipSync } from "node:zlib";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import type { Answer, Encoding } from "../../src/export/answer.ts";
import type { Fetch } from "../../src/export/sender.ts";
import { type Behaviour, type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { destinationAt, senderTo, type TestSender } from "./settings.ts";

let sink: OtlpSink;
let sender: TestSender;
const emptyRequest: Record<Encoding, Uint8Array> = {
  json: new TextEncoder().encode('{"resourceLogs":[]}'),
  protobuf: ProtobufLogsSerializer.serializeRequest([]) ?? new Uint8Array(0),
};

beforeAll(async () => {
  sink = await startOtlpSink();
});

afterAll(() => sink.stop());

interface Settings {
  readonly change?: Parameters<typeof destinationAt>[1];
  readonly encoding?: Encoding;
  readonly stop?: AbortSignal;
}

function post(behaviour: Behaviour, { change = {}, encoding = "json", stop }: Settings = {}): Promise<Answer> {
  sink.behave(() => behaviour);
  sender = senderTo(destinationAt(sink.url, change));
  return sender.post(emptyRequest[encoding], encoding, stop);
}

describe("what an answer means", () => {
  test.each([200, 202, 204])("%i with an empty body is accepted", async (status) => {
    expect(await post({ kind: "status", status })).toEqual({ kind: "accepted" });
    expect(sender.outcomes).toEqual(["success"]);
    expect(sender.failures).toEqual([]);
  });

  test.each([400, 413, 422] as const)("%i refuses the body", async (status) => {
    expect(await post({ kind: "status", status, body: "bad\n  body" })).toEqual({
      kind: "refused",
      status,
      message: `HTTP ${status}: bad body`,
    });
    expect(sender.outcomes).toEqual(["rejected"]);
    expect(sender.failures).toEqual(["rejected"]);
  });

  test.each([
    [401, "denied"],
    [403, "denied"],
    [404, "denied"],
    [405, "denied"],
    [408, "timeout"],
    [409, "denied"],
    [415, "denied"],
    [425, "denied"],
    [429, "throttled"],
    [500, "server"],
    [501, "server"],
    [502, "server"],
    [503, "server"],
    [504, "server"],
  ] as const)("%i is a failure: %s", async (status, cause) => {
    expect(await post({ kind: "status", status })).toEqual({
      kind: "failed",
      cause,
      why: expect.stringMatching(new RegExp(`^http://127.0.0.1:\\d+/v1/logs: HTTP ${status}$`)),
    });
    expect(sender.outcomes).toEqual(["retry"]);
    expect(sender.failures).toEqual([cause]);
  });

  test.each([301, 302, 307])("%i is not followed, and its target is reported", async (status) => {
    const location = `${sink.url}/elsewhere`;
    expect(await post({ kind: "status", status, headers: { location } })).toEqual({
      kind: "failed",
      cause: "denied",
      why: expect.stringContaining(`HTTP ${status} (redirect to ${location})`),
    });
    expect(sink.requests.at(-1)?.path).toBe("/v1/logs");
  });

  test("a web page with 200 is a failure", async () => {
    const page = { kind: "status", status: 200, body: "<!doctype html><p>Log in</p>" } as const;
    expect(await post({ ...page, headers: { "content-type": "text/html; charset=utf-8" } })).toMatchObject({
      kind: "failed",
      cause: "denied",
    });
    expect(await post({ ...page, headers: { "content-type": "" } })).toMatchObject({
      kind: "failed",
      why: expect.stringContaining("web page"),
    });
  });

  test.each(["json", "protobuf"] as const)("partial success in %s", async (encoding) => {
    expect(await post({ kind: "take", rejected: 3, message: "too old" }, { encoding })).toEqual({
      kind: "accepted",
      partial: { rejected: 3, message: "too old" },
    });
    expect(await post({ kind: "take" }, { encoding })).toEqual({ kind: "accepted" });
    expect(sender.warnings).toEqual([]);
  });

  test.each([
    ["0.5", 1],
    ['"2.5"', 3],
    ["1e999", Number.POSITIVE_INFINITY],
    ["-5", 0],
    ['"many"', 0],
    ['{"valueOf":1,"toString":1}', 0],
    ["[7]", 0],
  ])("a partial success of %s is read as a whole number", async (reported, rejected) => {
    const body = `{"partialSuccess":{"rejectedLogRecords":${reported},"errorMessage":"some"}}`;
    const headers = { "content-type": "application/json" };
    expect(await post({ kind: "status", status: 200, body, headers })).toEqual({
      kind: "accepted",
      partial: { rejected, message: "some" },
    });
  });

  test("a small compressed answer is read, and a decompression bomb is not inflated", async () => {
    const small = gzipSync('{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"old"}}');
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const answers = [small, bomb, Buffer.from("not gzip")];
    const server = createTcpServer((socket) => {
      socket.on("data", (request) => {
        if (!request.includes("POST ")) return;
        const body = answers.shift() ?? Buffer.alloc(0);
        const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n";
        socket.end(Buffer.concat([Buffer.from(`${head}content-length: ${body.length}\r\n\r\n`), body]));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const readChunks: number[] = [];
    const counting: Fetch = async (url, init) => {
      const response = await fetch(url, init);
      const counted = response.body?.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            readChunks.push(chunk.length);
            controller.enqueue(chunk);
          },
        }),
      );
      return new Response(counted, { headers: response.headers });
    };
    const { port } = server.address() as AddressInfo;
    const { post: postTo, warnings } = senderTo(destinationAt(`http://127.0.0.1:${port}`), { fetch: counting });
    const partial = { rejected: 1, message: "old" };
    expect(await postTo(emptyRequest.json, "json")).toEqual({ kind: "accepted", partial });
    expect(warnings).toEqual([]);
    expect(await postTo(emptyRequest.json, "json")).toEqual({ kind: "accepted" });
    expect(await postTo(emptyRequest.json, "json")).toEqual({ kind: "accepted" });
    expect(warnings).toEqual([expect.stringContaining("is not OTLP")]);
    expect(Math.max(...readChunks)).toBeLessThanOrEqual(bomb.length);
    expect(readChunks.reduce((sum, bytes) => sum + bytes)).toBeLessThan(2 * bomb.length);
    server.close();
  });

  test("a long message is cut between characters", async () => {
    const answer = await post({ kind: "status", status: 400, body: `${"x".repeat(499)}😀${"y".repeat(60_000)}` });
    expect(answer.kind === "refused" && answer.message.length).toBeLessThan(600);
    expect(answer.kind === "refused" && answer.message.isWellFormed()).toBe(true);
  });

  test("only the beginning of an endless message is read", async () => {
    const endless = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response(new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(16_384)) }), { status: 400 }),
    });
    const { post: postTo } = senderTo(destinationAt(endless.url.origin, {}));
    expect(await postTo(emptyRequest.json, "json")).toMatchObject({ kind: "refused", status: 400 });
    await endless.stop(true);
  });

  test("a refused connection is unreachable, a reset one is a reset", async () => {
    const closed = createTcpServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const { post: postTo } = senderTo(destinationAt(`http://127.0.0.1:${port}`));
    expect(await postTo(emptyRequest.json, "json")).toMatchObject({
      kind: "failed",
      cause: "unreachable",
      why: `http://127.0.0.1:${port}/v1/logs: connection refused by 127.0.0.1:${port}`,
    });
    expect(await post({ kind: "reset" })).toMatchObject({
      kind: "failed",
      cause: "reset",
      why: expect.stringMatching(/: connection closed by 127\.0\.0\.1:\d+ without an answer$/) as string,
    });
  });
});

describe("warnings that are logged once", () => {
  test("a 200 whose body is not an OTLP answer is a success with one warning", async () => {
    for (const [body, type] of [
      ["ok", "text/plain"],
      ["null", "application/json"],
      ["not json", "application/json"],
      ["\u0007", "application/x-protobuf"],
    ] as const) {
      expect(await post({ kind: "status", status: 200, body, headers: { "content-type": type } })).toEqual({
        kind: "accepted",
      });
      expect(sender.warnings).toHaveLength(1);
      await sender.post(emptyRequest.json, "json");
      expect(sender.warnings).toHaveLength(1);
    }
  });

  test.each(["json", "protobuf"] as const)("415 to %s suggests the other protocol", async (encoding) => {
    await post({ kind: "status", status: 415 }, { encoding });
    await sender.post(emptyRequest[encoding], encoding);
    const remedy = encoding === "json" ? "http/protobuf" : "http/json";
    expect(sender.warnings).toEqual([expect.stringContaining(`set otlp.protocol = \\"${remedy}\\"`)]);
  });

  test("400 to JSON may be due to the encoding, but not once something was accepted", async () => {
    await post({ kind: "status", status: 400 });
    expect(sender.warnings).toEqual([expect.stringContaining("http/protobuf")]);
    await post({ kind: "take" });
    sink.behave(() => ({ kind: "status", status: 400 }));
    await sender.post(emptyRequest.json, "json");
    expect(sender.warnings).toEqual([]);
  });

  test.each([415, 400])("%i to zstd suggests gzip, as long as nothing was accepted", async (status) => {
    const change = { compression: "zstd" } as const;
    await post({ kind: "status", status }, { encoding: "protobuf", change });
    await sender.post(emptyRequest.protobuf, "protobuf");
    expect(sender.warnings).toEqual([expect.stringContaining('set otlp.compression = \\"gzip\\"')]);
    await post({ kind: "take" }, { encoding: "protobuf", change });
    sink.behave(() => ({ kind: "status", status: 400 }));
    await sender.post(emptyRequest.protobuf, "protobuf");
    expect(sender.warnings).toEqual([]);
  });

  test("400 to protobuf is due to the body", async () => {
    await post({ kind: "status", status: 400 }, { encoding: "protobuf" });
    expect(sender.warnings).toEqual([]);
  });
});

describe("Retry-After", () => {
  test.each([
    ["3", 3_000],
    ["7200", 300_000],
    ["Thu, 01 Jan 1970 00:16:50 GMT", 10_000],
  ])("%s is returned in milliseconds, within its limit", async (header, retryAfterMs) => {
    expect(await post({ kind: "status", status: 429, headers: { "retry-after": header } })).toMatchObject({
      retryAfterMs,
    });
  });
});

describe("the deadline", () => {
  test("ends a request that is not answered", async () => {
    expect(await post({ kind: "hang" }, { change: { timeoutMs: 50 } })).toEqual({
      kind: "failed",
      cause: "timeout",
      why: expect.stringMatching(/^http:\S+: timed out after 0.05 s$/),
    });
  });

  test("ends an answer that arrives too slowly", async () => {
    expect(await post({ kind: "drip", everyMs: 10 }, { change: { timeoutMs: 100 } })).toEqual({
      kind: "failed",
      cause: "timeout",
      why: expect.stringMatching(/^http:\S+: timed out after 0.1 s$/),
    });
  });

  test("is cut short by a stop, which counts as no request", async () => {
    const before = sink.requests.length;
    const controller = new AbortController();
    const answer = post({ kind: "hang" }, { stop: controller.signal });
    await sink.until(({ requests }) => requests.length > before);
    controller.abort();
    expect(await answer).toMatchObject({ kind: "failed", why: "stopped" });
    expect(sender.outcomes).toEqual([]);
  });
});

describe("the request", () => {
  test("has plain content types, gzip, zstd or no compression, and its own headers", async () => {
    const headers = { "user-agent": "tailscale2otel/1", "x-scope-orgid": "home" };
    await post({ kind: "take" }, { change: { headers } });
    await post({ kind: "take" }, { encoding: "protobuf", change: { headers, compression: "none" } });
    const [json, protobuf] = sink.requests.slice(-2);
    await post({ kind: "take" }, { change: { compression: "zstd" } });
    expect(sink.requests.at(-1)).toMatchObject({ bytes: emptyRequest.json.length, isTaken: true });
    expect(sink.requests.at(-1)?.headers["content-encoding"]).toBe("zstd");
    expect(json?.headers).toMatchObject({ "content-type": "application/json", "content-encoding": "gzip", ...headers });
    expect(protobuf?.headers).toMatchObject({ "content-type": "application/x-protobuf", ...headers });
    expect(protobuf?.headers["content-encoding"]).toBeUndefined();
  });

  test.each(["gzip", "zstd", "none"] as const)(
    "leaves its body free for reuse once the call has returned: %s",
    async (compression) => {
      sink.behave(() => ({ kind: "take" }));
      const body = new TextEncoder().encode('{"resourceLogs":[]}');
      const { post: postTo } = senderTo(destinationAt(sink.url, { compression }));
      const answer = postTo(body, "json");
      body.fill(0);
      expect(await answer).toEqual({ kind: "accepted" });
    },
  );

  test("never reveals a header's value", async () => {
    const headers = { authorization: "Bearer s3cret-token", "x-key": "another-secret" };
    const body = "no tenant for Bearer s3cret-token, s3cret-token or another-secret";
    for (const behaviour of [
      { kind: "status", status: 401, body },
      { kind: "status", status: 400, body },
      { kind: "status", status: 302, headers: { location: "https://sso.example.com/?key=another-secret" } },
      { kind: "take", rejected: 1, message: body },
    ] as const) {
      const said = JSON.stringify(await post(behaviour, { change: { headers } }));
      expect(said).toContain("[redacted]");
      expect(said).not.toContain("secret");
      expect(said).not.toContain("s3cret");
    }
    const broken = await post({ kind: "take" }, { change: { headers: { authorization: "line\nbreak-secret" } } });
    expect(broken.kind).toBe("failed");
    expect(JSON.stringify(broken)).not.toContain("break-secret");
  });
});

test("a body that has been sent is freed once it is answered, and the caller's is not", async () => {
  let sent: Uint8Array | undefined;
  const { post: send } = senderTo(destinationAt(sink.url, { compression: "none" }), {
    fetch(_, { body }) {
      sent = body as Uint8Array;
      expect(sent.byteLength).toBe(2048);
      return Promise.resolve(new Response());
    },
  });
  const body = new Uint8Array(2048);
  expect(await send(body, "protobuf")).toEqual({ kind: "accepted" });
  expect([sent?.byteLength, body.byteLength]).toEqual([0, 2048]);
});
