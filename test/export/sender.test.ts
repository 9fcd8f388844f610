/** One POST: what each answer of a backend means, how long it may take, and what is never said. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Answer, Encoding } from "../../src/export/answer.ts";
import { createSender, type RequestOutcome } from "../../src/export/sender.ts";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import { type Behaviour, type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { destinationAt } from "./delivery.ts";

let sink: OtlpSink;
const outcomes: RequestOutcome[] = [];
const never = new AbortController().signal;
const emptyRequest: Record<Encoding, Uint8Array> = {
  json: new TextEncoder().encode('{"resourceLogs":[]}'),
  protobuf: ProtobufLogsSerializer.serializeRequest([]) ?? new Uint8Array(0),
};

beforeAll(async () => {
  sink = await startOtlpSink();
});

afterEach(() => {
  outcomes.length = 0;
});

afterAll(() => sink.stop());

interface Settings {
  readonly change?: Parameters<typeof destinationAt>[1];
  readonly encoding?: Encoding;
  readonly stop?: AbortSignal;
}

function post(behaviour: Behaviour, { change = {}, encoding = "json", stop = never }: Settings = {}): Promise<Answer> {
  sink.behave(() => behaviour);
  const onAnswer = (outcome: RequestOutcome) => void outcomes.push(outcome);
  return createSender(destinationAt(sink.url, change), { fetch, clock: () => 1_000_000, onAnswer })(
    emptyRequest[encoding],
    encoding,
    stop,
  );
}

describe("what an answer means", () => {
  test.each([200, 202, 204])("%i with nothing in it is taken", async (status) => {
    expect(await post({ kind: "status", status })).toEqual({ kind: "taken" });
    expect(outcomes).toEqual(["success"]);
  });

  test.each([400, 413, 415, 422] as const)("%i speaks of the body", async (status) => {
    expect(await post({ kind: "status", status, body: "bad\n  body" })).toEqual({
      kind: "rejected",
      status,
      message: `HTTP ${status}: bad body`,
    });
    expect(outcomes).toEqual(["rejected"]);
  });

  test.each([302, 307, 401, 403, 404, 405, 408, 409, 411, 425, 429, 500, 501, 502, 503, 504])(
    "%i is worth another try",
    async (status) => {
      const answer = await post({ kind: "status", status, headers: { location: `${sink.url}/elsewhere` } });
      expect(answer).toEqual({
        kind: "retry",
        why: expect.stringMatching(new RegExp(`^http://127.0.0.1:\\d+/v1/logs: HTTP ${status}$`)),
      });
      expect(outcomes).toEqual(["retry"]);
      expect(sink.requests.at(-1)?.path).toBe("/v1/logs");
    },
  );

  test("a web page with 200 has taken nothing", async () => {
    const page = { kind: "status", status: 200, body: "<!doctype html><p>Log in</p>" } as const;
    expect(await post({ ...page, headers: { "content-type": "text/html; charset=utf-8" } })).toMatchObject({
      kind: "retry",
    });
    expect(await post({ ...page, headers: { "content-type": "" } })).toMatchObject({
      kind: "retry",
      why: expect.stringContaining("web page"),
    });
  });

  test.each(["json", "protobuf"] as const)("partial success in %s", async (encoding) => {
    expect(await post({ kind: "take", rejected: 3, message: "too old" }, { encoding })).toEqual({
      kind: "taken",
      partial: { rejected: 3, message: "too old" },
    });
    expect(await post({ kind: "take" }, { encoding })).toEqual({ kind: "taken" });
  });

  test("what is no OTLP answer takes nothing back from a 200", async () => {
    expect(await post({ kind: "status", status: 200, body: "ok" })).toEqual({ kind: "taken" });
    expect(
      await post({ kind: "status", status: 200, body: "null", headers: { "content-type": "application/json" } }),
    ).toEqual({ kind: "taken" });
  });

  test("a long message is cut", async () => {
    const answer = await post({ kind: "status", status: 400, body: "x".repeat(60_000) });
    expect(answer.kind === "rejected" && answer.message.length).toBeLessThan(600);
  });

  test("of an endless one little is read", async () => {
    const endless = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response(new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(16_384)) }), { status: 400 }),
    });
    const send = createSender(destinationAt(endless.url.origin, { timeoutMs: 2_000 }), {
      fetch,
      clock: Date.now,
      onAnswer() {},
    });
    expect(await send(emptyRequest.json, "json", never)).toMatchObject({ kind: "rejected", status: 400 });
    await endless.stop(true);
  });

  test("a refused connection, a reset", async () => {
    const closed = createTcpServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const send = createSender(destinationAt(`http://127.0.0.1:${port}`), { fetch, clock: Date.now, onAnswer() {} });
    expect(await send(emptyRequest.json, "json", never)).toMatchObject({
      kind: "retry",
      why: expect.stringContaining("ECONNREFUSED"),
    });
    expect(await post({ kind: "reset" })).toMatchObject({ kind: "retry" });
  });
});

describe("Retry-After", () => {
  test("is handed on", async () => {
    expect(await post({ kind: "status", status: 429, headers: { "retry-after": "3" } })).toMatchObject({
      retryAfterMs: 3_000,
    });
  });
});

describe("the deadline", () => {
  test("ends a request that is not answered", async () => {
    expect(await post({ kind: "hang" }, { change: { timeoutMs: 50 } })).toEqual({
      kind: "retry",
      why: expect.stringMatching(/^http:\S+: no answer within 50 ms$/),
    });
  });

  test("ends an answer that drips", async () => {
    const started = performance.now();
    expect(await post({ kind: "drip", everyMs: 10 }, { change: { timeoutMs: 100 } })).toEqual({
      kind: "retry",
      why: expect.stringMatching(/^http:\S+: no answer within 100 ms$/),
    });
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test("our own stop ends it sooner, and counts as no request", async () => {
    const controller = new AbortController();
    const answer = post({ kind: "hang" }, { stop: controller.signal });
    await sink.until(({ requests }) => requests.length > 0);
    controller.abort();
    expect(await answer).toEqual({ kind: "retry", why: "stopped" });
    expect(outcomes).toEqual([]);
  });
});

describe("the request", () => {
  test("bare content types, gzip or none, own headers", async () => {
    const headers = { "user-agent": "tailscale2otel/1", "x-scope-orgid": "home" };
    await post({ kind: "take" }, { change: { headers } });
    await post({ kind: "take" }, { encoding: "protobuf", change: { headers, compression: "none" } });
    const [json, protobuf] = sink.requests.slice(-2);
    expect(json?.headers).toMatchObject({ "content-type": "application/json", "content-encoding": "gzip", ...headers });
    expect(protobuf?.headers).toMatchObject({ "content-type": "application/x-protobuf", ...headers });
    expect(protobuf?.headers["content-encoding"]).toBeUndefined();
  });

  test("no header's value is ever repeated", async () => {
    const headers = { authorization: "Bearer s3cret-token", "x-key": "another-secret" };
    const body = "no tenant for Bearer s3cret-token, s3cret-token or another-secret";
    for (const behaviour of [
      { kind: "status", status: 401, body },
      { kind: "status", status: 400, body },
      { kind: "take", rejected: 1, message: body },
    ] as const) {
      const said = JSON.stringify(await post(behaviour, { change: { headers } }));
      expect(said).toContain("[redacted]");
      expect(said).not.toContain("secret");
      expect(said).not.toContain("s3cret");
    }
    const broken = await post({ kind: "take" }, { change: { headers: { authorization: "line\nbreak-secret" } } });
    expect(broken.kind).toBe("retry");
    expect(JSON.stringify(broken)).not.toContain("break-secret");
  });
});
