/** What the listener does with connections: odd HTTP is answered, mistakes are logged and counted, and none lasts for ever. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { Refusal } from "../../src/errors.ts";
import { jsonResponse } from "../../src/http/exchange.ts";
import { createLimiter } from "../../src/http/limiter.ts";
import type { Route } from "../../src/http/router.ts";
import { createHttpServer, type HttpServer, type HttpServerDeps } from "../../src/http/server.ts";
import { head, sendRaw } from "../support/raw-http.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url));
const tls = { certFile: fixture("first.cert.pem"), keyFile: fixture("first.key.pem") };

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

async function start(deps: Partial<HttpServerDeps> = {}, files?: typeof tls): Promise<number> {
  warnings = [];
  reasons = [];
  refusals.length = 0;
  const warn = (message: string): void => void warnings.push(message);
  const logger = { debug() {}, info() {}, warn, error: warn };
  const misdirected = (reason: string): void => void reasons.push(reason);
  server = createHttpServer({ listen: "127.0.0.1:0", tls: files }, { routes: [echo], logger, misdirected, ...deps });
  await server.start();
  return server.port;
}
afterEach(() => server.stop(0));

/** All that the server sends until it closes the connection. */
function received(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (data) => (text += data.toString())).on("error", () => {});
  return new Promise((resolve) => socket.on("close", () => resolve(text)));
}

describe("HTTP as it is seldom spoken", () => {
  test("a chunked body with trailers is read, and the connection goes on", async () => {
    const socket = connect(await start(), "127.0.0.1");
    const answers = received(socket);
    socket.write(`${head("POST", "/echo", { "transfer-encoding": "chunked" })}3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n`);
    socket.write(head("GET", "/echo", { connection: "close" }));
    expect((await answers).match(/HTTP\/1\.1 \d+|\{.*?\}/g)).toEqual([
      "HTTP/1.1 200",
      '{"text":"abc"}',
      "HTTP/1.1 200",
      '{"text":"ok"}',
    ]);
  });

  test("pipelined requests are all answered, in their order", async () => {
    const socket = connect(await start(), "127.0.0.1");
    const answers = received(socket);
    const posts = Array.from({ length: 50 }, (_, place) => {
      const body = `body ${place}`;
      return head("POST", "/echo", { "content-length": body.length }) + body;
    });
    socket.write(posts.join("") + head("GET", "/echo", { connection: "close" }));
    const bodies = [...(await answers).matchAll(/\{"text":"(.*?)"\}/g)].map(([, text]) => text);
    expect(bodies).toEqual([...Array.from({ length: 50 }, (_, place) => `body ${place}`), "ok"]);
  });

  test("malformed chunks get 400 in JSON, and are refused as what they are, with the peer", async () => {
    const port = await start();
    const text = `${head("POST", "/echo", { "transfer-encoding": "chunked" })}3\r\nabc\r\nzz\r\n`;
    const answer = await sendRaw(port, [text]);
    expect([answer.status, answer.body]).toEqual([400, '{"text":"Malformed HTTP request"}']);
    while (refusals.length === 0) await Bun.sleep(1);
    expect(refusals).toEqual([
      "unparsable from 127.0.0.1: the body is not valid HTTP: its chunked encoding is malformed",
    ]);
  });

  test("headers past the limit of the parser get 431", async () => {
    const flood = `GET /echo HTTP/1.1\r\nhost: x\r\nx-header: ${"a".repeat(1 << 17)}\r\n\r\n`;
    expect((await sendRaw(await start(), [flood])).status).toBe(431);
  });

  test("a request without a Host header gets 400", async () => {
    expect((await sendRaw(await start(), ["GET /echo HTTP/1.1\r\n\r\n"])).status).toBe(400);
  });

  test("a client that expects 100 Continue is told to go on only if its body is wanted", async () => {
    const port = await start();
    const expecting = { "content-length": 3, expect: "100-continue" };
    const socket = connect(port, "127.0.0.1");
    socket.write(head("POST", "/echo", expecting));
    const told = await new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())));
    expect(told).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    const answered = new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())));
    socket.write("abc");
    expect(await answered).toStartWith("HTTP/1.1 200 OK");
    socket.destroy();
    const refused = await sendRaw(port, [head("POST", "/none", expecting)]);
    expect(refused).toMatchObject({ status: 404, headers: { connection: "close" } });
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

  test("TLS on a plain port", async () => {
    const socket = connectTls({ port: await start(), host: "127.0.0.1", rejectUnauthorized: false });
    await new Promise((resolve) => socket.on("error", resolve));
    expect(warnings).toEqual([
      "127.0.0.1 speaks TLS, but 127.0.0.1:0 is plain HTTP: use http://, or configure a certificate",
    ]);
    expect(reasons).toEqual(["tls"]);
  });

  test("plain HTTP on a TLS port", async () => {
    const socket = connect(await start({}, tls), "127.0.0.1");
    const closed = received(socket);
    socket.write(head("GET", "/echo", {}));
    await closed;
    expect(warnings).toEqual(["127.0.0.1 speaks plain HTTP, but 127.0.0.1:0 requires TLS: use https://"]);
    expect(reasons).toEqual(["tls"]);
  });

  test("a client that does not trust the certificate", async () => {
    const port = await start({}, tls);
    await expect(fetch(`https://127.0.0.1:${port}/echo`)).rejects.toThrow();
    while (reasons.length === 0) await Bun.sleep(1);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toStartWith("TLS handshake with 127.0.0.1 failed: it may not trust the certificate");
  });

  test("but not a port check, which connects and leaves", async () => {
    const port = await start({}, tls);
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
    socket.destroy();
    const ca = readFileSync(tls.certFile, "utf8");
    expect((await fetch(`https://localhost:${port}/echo`, { tls: { ca } })).status).toBe(200);
    expect(warnings).toEqual([]);
  });
});

describe("a connection ends", () => {
  const limits = { maxConnections: 100, idleMs: 100, headMs: 60, answerMs: 60_000 };
  const patient = { ...limits, headMs: 60_000 };

  test("that says nothing, whatever its requests may take", async () => {
    expect(await received(connect(await start({ limits }), "127.0.0.1"))).toBe("");
  });

  test("on which half a head arrived, steadily dripping", async () => {
    const socket = connect(await start({ limits }), "127.0.0.1");
    const closed = received(socket);
    socket.write("GET /echo HTTP/1.1\r\nhost: x\r\nx: ");
    const drip = setInterval(() => socket.write("x"), 10);
    expect(await closed).toBe("");
    clearInterval(drip);
  });

  test("that is idle after an answer", async () => {
    const socket = connect(await start({ limits: patient }), "127.0.0.1");
    const closed = received(socket);
    socket.write(head("GET", "/echo", {}));
    expect(await closed).toStartWith("HTTP/1.1 200 OK");
  });

  test("but not one on which a body arrives, or is worked on, for longer", async () => {
    const answer = await sendRaw(await start({ limits: patient }), [
      head("POST", "/echo", { "content-length": 2 }),
      "a",
      () => Bun.sleep(300),
      "b",
    ]);
    expect([answer.status, answer.body]).toEqual([200, '{"text":"ab"}']);
  });

  test("that was idle longest, if there are as many as there may be", async () => {
    const port = await start({ limits: { maxConnections: 3 } });
    const sockets: Socket[] = [];
    const closed: number[] = [];
    for (let place = 0; place < 6; place++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("close", () => closed.push(place)).on("error", () => {});
      sockets.push(socket);
      const answered = new Promise((resolve) => socket.once("data", resolve));
      socket.write(head("GET", "/echo", {}));
      await answered;
    }
    while (closed.length < 3) await Bun.sleep(1);
    expect(closed).toEqual([0, 1, 2]);
    for (const socket of sockets) socket.destroy();
  });
});
