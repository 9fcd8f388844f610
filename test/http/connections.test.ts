/** Unusual HTTP and misdirected requests: each is answered, and senders' mistakes are logged and counted. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { Refusal } from "../../src/errors.ts";
import { jsonResponse } from "../../src/http/exchange.ts";
import { createLimiter } from "../../src/http/limiter.ts";
import type { Route } from "../../src/http/router.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import { head, sendRaw } from "../support/raw-http.ts";
import { until } from "../support/wait.ts";

const limiter = createLimiter({ maxReading: 99, maxBytes: 1e9, maxWorking: 99 });
const refusals: string[] = [];
const echo: Route = {
  path: "/echo",
  methods: {
    GET: () => jsonResponse(200, { text: "ok" }),
    async POST(exchange) {
      const admission = limiter.enter(exchange.peer);
      try {
        const limits = { maxBytes: 1e6, tooLarge: "too large", timeoutMs: 60_000, admission };
        const { chunks } = await exchange.readBody(limits);
        return jsonResponse(200, { text: Buffer.concat(chunks).toString() });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusals.push(`${error.reason} from ${exchange.peer}: ${error.message}`);
        return jsonResponse(400, { text: error.message });
      } finally {
        admission.leave();
      }
    },
  },
};

let server: HttpServer;
let warnings: string[] = [];
let reasons: string[] = [];

async function start(): Promise<number> {
  warnings = [];
  reasons = [];
  refusals.length = 0;
  const warn = (message: string): void => void warnings.push(message);
  const logger = { debug() {}, info() {}, warn, error: warn };
  const misdirected = (reason: string): void => void reasons.push(reason);
  server = createHttpServer({ listen: "127.0.0.1:0" }, { routes: [echo], logger, misdirected });
  await server.start();
  return server.port;
}
afterEach(() => server.stop(0));

describe("unusual HTTP", () => {
  test("a body with malformed chunks is refused, and the connection ends", async () => {
    const text = `${head("POST", "/echo", { "transfer-encoding": "chunked" })}3\r\nabc\r\nzz\r\n`;
    expect((await sendRaw(await start(), [text], { until: "closed" })).status).toBe(400);
    await until(() => refusals.length > 0);
    expect(refusals).toEqual([
      "timeout from 127.0.0.1: the connection was closed after 3 bytes, before the body was complete",
    ]);
  });

  test("headers past the limit of the parser get 431", async () => {
    const flood = `GET /echo HTTP/1.1\r\nhost: x\r\nx-header: ${"a".repeat(1 << 17)}\r\n\r\n`;
    expect((await sendRaw(await start(), [flood])).status).toBe(431);
  });

  test("a request without a Host header gets 400", async () => {
    expect((await sendRaw(await start(), ["GET /echo HTTP/1.1\r\n\r\n"])).status).toBe(400);
  });

  test("a client that expects 100 Continue gets it, and sees a refusal whether or not it sends the body", async () => {
    const port = await start();
    const expecting = { "content-length": 3, expect: "100-continue" };
    const socket = connect(port, "127.0.0.1");
    socket.write(head("POST", "/echo", expecting));
    const first = await new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())));
    expect(first).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    const answered = new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())));
    socket.write("abc");
    expect(await answered).toStartWith("HTTP/1.1 200 OK");
    socket.destroy();
    const silent = await sendRaw(port, [head("POST", "/none", expecting)]);
    expect(silent).toMatchObject({ status: 404, headers: { connection: "close" } });
    expect((await sendRaw(port, [head("POST", "/none", expecting), "abc"])).status).toBe(404);
  });
});

describe("a sender's mistake is logged once a minute, and counted each time:", () => {
  test("another path", async () => {
    const port = await start();
    for (let request = 0; request < 3; request++) await sendRaw(port, [head("POST", "/foo\u0000\u202e", {})]);
    await fetch(`http://127.0.0.1:${port}/foo`, { method: "POST", body: "x" });
    await fetch(`http://127.0.0.1:${port}/foo`, { method: "POST", body: "x" });
    expect(warnings).toEqual(["POST /foo from 127.0.0.1 answered 404: this listener accepts GET/POST /echo"]);
    expect(reasons).toEqual(["not_found", "not_found"]);
  });

  test("another method", async () => {
    const port = await start();
    await fetch(`http://127.0.0.1:${port}/echo`, { method: "PUT", body: "x" });
    expect(warnings).toEqual([
      "PUT /echo from 127.0.0.1 answered 405: this listener accepts GET and HEAD and POST on this path",
    ]);
    expect(reasons).toEqual(["method"]);
  });
});
