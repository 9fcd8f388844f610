import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { ConfigError, Refusal } from "../../src/errors.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "../../src/http/exchange.ts";
import { createLimiter } from "../../src/http/limiter.ts";
import { createRouter, type Handler, type Route } from "../../src/http/router.ts";
import { ListenError } from "../../src/http/listener.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { head, sendRaw } from "../support/raw-http.ts";

const ok: Handler = () => jsonResponse(200, { text: "ok" });

async function withServer(
  routes: readonly Route[],
  use: (server: HttpServer, base: string) => Promise<void>,
  listen = "127.0.0.1:0",
): Promise<void> {
  const server = createHttpServer({ listen }, { routes, logger: silentLogger });
  await server.start();
  try {
    await use(server, `http://127.0.0.1:${server.port}`);
  } finally {
    await server.stop(0);
  }
}

describe("an HTTP server", () => {
  test("accepts IPv4 and IPv6 when it listens on all addresses", async () => {
    await withServer(
      [{ path: "/", methods: { GET: ({ peer, isLocalOnly }) => jsonResponse(200, { peer, isLocalOnly }) } }],
      async ({ port }) => {
        expect(await (await fetch(`http://127.0.0.1:${port}/`)).json()).toEqual({
          peer: "127.0.0.1",
          isLocalOnly: false,
        });
        expect(await (await fetch(`http://[::1]:${port}/`)).json()).toEqual({ peer: "::1", isLocalOnly: false });
      },
      ":0",
    );
  });

  test("says in one line that a port is in use", async () => {
    await withServer([], async ({ port }) => {
      for (const listen of [`127.0.0.1:${port}`, `:${port}`]) {
        const second = createHttpServer({ listen }, { routes: [], logger: silentLogger });
        const failure = await second.start().catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ListenError);
        expect(String(failure)).toBe(
          `ListenError: cannot listen on ${listen}: the address is already in use. Stop the program that uses it, or change the listen setting`,
        );
      }
    });
  });

  test.each([
    ["EADDRINUSE", "the address is already in use. Stop the program that uses it, or change admin.listen"],
    [
      "EACCES",
      "not permitted. Ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE, or set admin.listen to a higher port",
    ],
    [
      "EADDRNOTAVAIL",
      'this machine has no such address. Set admin.listen to an address of this machine, or to ":port" for all of them',
    ],
    ["EIO", "out of order"],
  ])("names the setting of an address that it cannot bind, and what to do: %s", (code, text) => {
    const error = new ListenError("127.0.0.1:9", Object.assign(new Error("out of order"), { code }));
    expect(error.messageFor("admin.listen")).toBe(`cannot listen on 127.0.0.1:9 (admin.listen): ${text}`);
  });

  test("says in one line that an address is not this machine's", async () => {
    const server = createHttpServer({ listen: "192.0.2.1:8088" }, { routes: [], logger: silentLogger });
    await expect(server.start()).rejects.toThrow("cannot listen on 192.0.2.1:8088: this machine has no such address");
  });

  test("refuses an invalid address and says what is allowed", () => {
    expect(() => createHttpServer({ listen: "8088" }, { routes: [], logger: silentLogger })).toThrow(
      new ConfigError(['cannot listen on "8088": write ":8088", "127.0.0.1:8088" or "[::1]:8088"']),
    );
  });

  test("answers HEAD like GET, without the body", async () => {
    await withServer([{ path: "/a", methods: { GET: ok } }], async (_, base) => {
      const answer = await fetch(`${base}/a`, { method: "HEAD" });
      expect(answer.status).toBe(200);
      expect(await answer.text()).toBe("");
    });
  });

  test("answers OPTIONS, unknown methods and unknown paths itself", async () => {
    await withServer(
      [
        { path: "/a", methods: { GET: ok } },
        { path: "/a", methods: { POST: ok } },
      ],
      async (_, base) => {
        const options = await fetch(`${base}/a`, { method: "OPTIONS" });
        expect([options.status, options.headers.get("allow"), await options.text()]).toEqual([
          200,
          "GET, HEAD, POST, OPTIONS",
          "",
        ]);
        const put = await fetch(`${base}/a?x=1`, { method: "PUT", body: "x" });
        expect([put.status, put.headers.get("allow"), await put.json()]).toEqual([
          405,
          "GET, HEAD, POST, OPTIONS",
          { text: "Method not allowed" },
        ]);
        const other = await fetch(`${base}/b`, { method: "OPTIONS" });
        expect([other.status, await other.json()]).toEqual([404, { text: "Not found" }]);
      },
    );
  });

  test("refuses two routes for the same method and path", () => {
    const twice = [
      { path: "/a", methods: { POST: ok } },
      { path: "/a", methods: { POST: ok } },
    ];
    expect(() => createRouter(twice, () => {})).toThrow(ConfigError);
  });

  test("names its first paths for the log, those with a common prefix once", () => {
    const acceptedBy = (...paths: readonly string[]): string => {
      let said = "";
      const routes = paths.map((path): Route => ({ path, methods: { POST: ok } }));
      const route = createRouter(routes, (_, { accepted }) => void (said = accepted));
      void route({ path: "/other", request: { method: "GET" } } as Exchange);
      return said;
    };
    expect(acceptedBy("/hec/event", "/hec/event/", "/hec", "/hec/event/1.0", "/hec/health")).toBe(
      "POST /hec/event, POST /hec/health",
    );
    expect(acceptedBy("/a", "/b", "/c", "/api/d")).toBe("POST /a, POST /b, POST /c, POST /api/d");
    expect(acceptedBy("/a", "/b", "/c", "/api/d", "/api/e")).toBe("POST /a, POST /b, POST /c, POST /api/d, …");
  });

  test("answers 500 in JSON when a handler throws, and keeps serving", async () => {
    const fail: Handler = () => {
      throw new Error("secret detail");
    };
    await withServer(
      [
        { path: "/fail", methods: { GET: fail } },
        { path: "/", methods: { GET: ok } },
      ],
      async (_, base) => {
        const failed = await fetch(`${base}/fail`);
        expect([failed.status, await failed.json()]).toEqual([500, { text: "Internal server error" }]);
        expect((await fetch(base)).status).toBe(200);
      },
    );
  });

  test("finds the path even if the Host header is invalid", async () => {
    await withServer([{ path: "/a", methods: { GET: ok } }], async ({ port }) => {
      expect((await sendRaw(port, [head("GET", "/a?b", { host: "a b<>" })])).status).toBe(200);
    });
  });

  test("discards a body that no handler reads, so that the answer arrives", async () => {
    await withServer([], async ({ port }) => {
      const body = new Uint8Array(4 << 20);
      const post = [head("POST", "/none", { "content-length": body.byteLength }), body];
      expect((await sendRaw(port, post)).status).toBe(404);
      const next = head("GET", "/next", { connection: "close" });
      const both = await sendRaw(port, [...post, next], { until: "closed" });
      expect([both.status, both.body.match(/HTTP\/1\.1 404 /g)]).toEqual([404, ["HTTP/1.1 404 "]]);
    });
  });

  test("closes the connection after answering a request whose body does not end", async () => {
    await withServer([], async ({ port }) => {
      const client = connect(port, "127.0.0.1").on("error", () => {});
      let answer = "";
      client.on("data", (bytes) => (answer += bytes.toString()));
      client.write(`${head("POST", "/none", { "content-length": 100 })}x`);
      await new Promise((resolve) => client.on("close", resolve));
      expect(answer).toStartWith("HTTP/1.1 404 ");
    });
  });

  test("stops within its deadline, whatever a handler does, and may be stopped twice", async () => {
    const entered = Promise.withResolvers<void>();
    const never: Handler = () => {
      entered.resolve();
      return new Promise<HttpAnswer>(() => {});
    };
    const server = createHttpServer(
      { listen: "127.0.0.1:0" },
      { routes: [{ path: "/", methods: { GET: never } }], logger: silentLogger },
    );
    await server.stop(0);
    await server.start();
    const { port } = server;
    const hanging = fetch(`http://127.0.0.1:${port}/`).then(
      () => "answered",
      () => "cut",
    );
    const idle = connect(port, "127.0.0.1").on("error", () => {});
    await entered.promise;
    const beganMs = performance.now();
    await server.stop(100);
    await server.stop(100);
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(95);
    expect(await hanging).toBe("cut");
    idle.destroy();
    await expect(fetch(`http://127.0.0.1:${port}/none`)).rejects.toThrow();
  });

  test("does not wait for connections with half a request", async () => {
    const server = createHttpServer({ listen: "127.0.0.1:0" }, { routes: [], logger: silentLogger });
    await server.start();
    const { port } = server;
    const half = connect(port, "127.0.0.1").on("error", () => {});
    const closed = new Promise((resolve) => half.resume().on("close", resolve));
    await new Promise<void>((resolve) => half.write("GET / HTTP/1.1\r\nhost:", () => resolve()));
    await fetch(`http://127.0.0.1:${port}/none`);
    await server.stop(600_000);
    await closed;
    await expect(fetch(`http://127.0.0.1:${port}/none`)).rejects.toThrow();
  });

  test("lets requests in flight finish before it stops", async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const slow: Handler = async () => {
      entered.resolve();
      await gate.promise;
      return jsonResponse(200, { text: "done" });
    };
    await withServer([{ path: "/", methods: { GET: slow } }], async (server, base) => {
      const answer = fetch(base).then((response) => response.json());
      await entered.promise;
      const stopped = server.stop(10_000);
      gate.resolve();
      expect(await answer).toEqual({ text: "done" });
      await stopped;
    });
  });
});

describe("reading a body", () => {
  const reading = (limits: { timeoutMs: number; graceMs?: number; maxBytes?: number; maxHeld?: number }): Route => ({
    path: "/",
    methods: {
      async POST(exchange) {
        const limiter = createLimiter({ maxReading: 9, maxBytes: limits.maxHeld ?? 1e6, maxWorking: 9 });
        const admission = limiter.enter(exchange.peer);
        try {
          const { bytes } = await exchange.readBody({ maxBytes: 1e6, tooLarge: "too large", admission, ...limits });
          return jsonResponse(200, { text: `${bytes}/${admission.bytes}` });
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          return jsonResponse(400, { text: error.reason === "timeout" ? error.message : error.reason });
        }
      },
    },
  });

  test("counts and reserves the bytes that arrive", async () => {
    await withServer([reading({ timeoutMs: 5000 })], async (_, base) => {
      const body = "x".repeat(300_000);
      expect(await (await fetch(base, { method: "POST", body })).json()).toEqual({ text: "300000/300000" });
      expect(await (await fetch(base, { method: "POST", body: new Blob([body]).stream() })).json()).toEqual({
        text: "300000/300000",
      });
      expect(await (await fetch(base, { method: "POST" })).json()).toEqual({ text: "0/0" });
    });
  });

  test("ends at the deadline, however steadily the body drips", async () => {
    await withServer([reading({ timeoutMs: 300 })], async ({ port }) => {
      const pieces = Array.from({ length: 60 }, () => ["x", () => Bun.sleep(20)]).flat();
      const answer = await sendRaw(port, [head("POST", "/", { "content-length": 1000 }), ...pieces]);
      expect(answer.body).toMatch(/"only \d+ bytes of the body arrived within 300 ms"/);
    });
  });

  test("ends if the body arrives at less than 1 KiB/s after the grace period", async () => {
    await withServer([reading({ timeoutMs: 60_000, graceMs: 200 })], async ({ port }) => {
      const slow = await sendRaw(port, [head("POST", "/", { "content-length": 1000 }), "x".repeat(100)]);
      expect(slow.body).toBe('{"text":"the body arrived more slowly than 1024 bytes/s"}');
      // The first half is enough for minutes at that rate.
      const half = "x".repeat(300_000);
      const length = { "content-length": 2 * half.length };
      const quick = await sendRaw(port, [head("POST", "/", length), half, () => Bun.sleep(400), half]);
      expect(quick.body).toBe('{"text":"600000/600000"}');
    });
  });

  test("refuses a body over the memory limit", async () => {
    await withServer([reading({ timeoutMs: 5000, maxHeld: 10 })], async (_, base) => {
      expect(await (await fetch(base, { method: "POST", body: "x".repeat(11) })).json()).toEqual({
        text: "body_too_large",
      });
      expect(await (await fetch(base, { method: "POST", body: "x".repeat(10) })).json()).toEqual({ text: "10/10" });
    });
  });
});
