/** The admin listener over real sockets: access, health and readiness. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import type { Overview } from "../../src/admin/overview.ts";
import type { Instance } from "../../src/admin/instance.ts";
import { type Health, notReadyReasons } from "../../src/admin/status.ts";
import { degradedReasons } from "../../src/admin/troubles.ts";
import { adminWith, noOperations } from "../support/admin.ts";
import { sendRaw } from "../support/raw-http.ts";

let admin: Admin | undefined;
const healthy: Health = {
  notReady: [],
  export: { logs: { kind: "delivering" }, metrics: { kind: "ok" } },
  polls: [],
  tailnet: [],
};
let health = healthy;

afterEach(async () => {
  await admin?.stop(0);
  admin = undefined;
  health = healthy;
});

async function start(options: Partial<Parameters<typeof createAdmin>[0]> = {}): Promise<string> {
  admin = createAdmin(
    { listen: "127.0.0.1:0", token: "", ...options },
    adminWith({
      health: () => health,
      scrape: async () => "metric_total 1\n",
      status: () => ({ conservation: { received: 3 } }),
      overview: () => ({ entries: 0 }) as Overview,
      instance: () => ({ version: "1.2.3" }) as Instance,
      events: {
        read: async () => ({ events: [], next: "a.1.0.0", isEnd: true, behindSeconds: 0 }),
        whole: async () => undefined,
      },
      operations: {
        ...noOperations,
        list: async () => ({ counts: [], items: [] }),
        redeliveries: async () => [],
      },
    }),
  );
  await admin.start();
  return `http://127.0.0.1:${admin.port}`;
}

/** The status of a request whose `Host` and other headers the test writes itself. */
async function statusOf(path: string, headers: Record<string, string>, method = "GET"): Promise<number> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const text = `${method} ${path} HTTP/1.1\r\n${lines.join("")}Connection: close\r\n\r\n`;
  return (await sendRaw(admin?.port ?? 0, [text])).status;
}

const guarded = [
  "metrics",
  "api/v1/status",
  "api/v1/overview",
  "api/v1/instance",
  "api/v1/events",
  "api/v1/quarantine",
  "api/v1/replay",
].map((path) => `/${path}`);

describe("on loopback, without a token", () => {
  test("shows metrics in the Prometheus text format, and the sums", async () => {
    const base = await start();
    const metrics = await fetch(`${base}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await metrics.text()).toBe("metric_total 1\n");
    health = { ...healthy, export: { ...healthy.export, metrics: { kind: "failing", why: "HTTP 400", since: 5 } } };
    expect(await (await fetch(`${base}/api/v1/status`)).json()).toEqual({
      conservation: { received: 3 },
      notReady: [],
      degraded: ["metric export failing since 1970-01-01T00:00:00.005Z"],
      troubles: [
        {
          severity: "warning",
          message: "metric export failing since 1970-01-01T00:00:00.005Z",
          remedy: expect.stringContaining("Check the tenant, the headers and the path of otlp.endpoint"),
        },
      ],
      export: {
        logs: { kind: "delivering" },
        metrics: { kind: "failing", why: "HTTP 400", since: "1970-01-01T00:00:00.005Z" },
      },
      polls: [],
      tailnet: [],
    });
  });

  test.each(guarded)("%s is refused under a host name that is not this machine (DNS rebinding)", async (path) => {
    await start();
    expect(await statusOf(path, { Host: "evil.example.com" })).toBe(403);
    expect(await statusOf(path, { Host: `localhost:${admin?.port}` })).toBe(200);
    expect(await statusOf(path, { Host: `[::1]:${admin?.port}` })).toBe(200);
  });

  test.each(guarded)("%s is refused to pages of other origins, and shown to its own", async (path) => {
    await start();
    const host = `127.0.0.1:${admin?.port}`;
    expect(await statusOf(path, { Host: host, Origin: "https://evil.example.com" })).toBe(403);
    expect(await statusOf(path, { Host: host, Origin: "null" })).toBe(403);
    expect(await statusOf(path, { Host: host, Origin: "http://127.0.0.1:1" })).toBe(403);
    expect(await statusOf(path, { Host: host, "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(await statusOf(path, { Host: host, "Sec-Fetch-Site": "same-site" })).toBe(403);
    expect(await statusOf(path, { Host: host, Origin: `http://${host}`, "Sec-Fetch-Site": "same-origin" })).toBe(200);
    expect(await statusOf(path, { Host: host, "Sec-Fetch-Site": "none" })).toBe(200);
  });

  test("read-only paths refuse other methods with 405", async () => {
    await start();
    const host = `127.0.0.1:${admin?.port}`;
    for (const path of ["/metrics", "/api/v1/status", "/api/v1/quarantine"])
      expect(await statusOf(path, { Host: host, "Content-Length": "0" }, "POST")).toBe(405);
  });
});

describe("with a token", () => {
  test.each(guarded)("%s requires it", async (path) => {
    const base = await start({ token: "admin-token" });
    expect((await fetch(base + path)).status).toBe(401);
    expect((await fetch(base + path)).headers.get("www-authenticate")).toBe("Bearer");
    const status = async (authorization: string) => (await fetch(base + path, { headers: { authorization } })).status;
    expect(await status("Bearer wrong")).toBe(401);
    expect(await status("Bearer admin-token")).toBe(200);
    expect(await status(`Basic ${btoa("admin:admin-token")}`)).toBe(200);
  });

  test("refuses a page of another origin even with the token", async () => {
    const base = await start({ token: "admin-token" });
    const headers = { authorization: "Bearer admin-token", origin: "https://evil.example.com" };
    expect((await fetch(`${base}/metrics`, { headers })).status).toBe(403);
  });
});

describe("health", () => {
  test("needs no token", async () => {
    await start({ token: "admin-token" });
    for (const path of ["/healthz", "/readyz"]) {
      expect(await statusOf(path, { Host: "probe.example.com" })).toBe(200);
    }
  });

  test("says why records cannot be accepted", async () => {
    const base = await start();
    health = { ...healthy, notReady: ["the journal is full"] };
    const answer = await fetch(`${base}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: "not ready", reasons: ["the journal is full"] });
    expect((await fetch(`${base}/healthz`)).status).toBe(200);
  });

  test("gives the journal's refusal as the reason, exactly as a receiver does, and says if the program is stopping", () => {
    const space: { usedBytes: number; limitBytes: number; refusal: string | undefined } = {
      usedBytes: 1,
      limitBytes: 100,
      refusal: undefined,
    };
    expect(notReadyReasons({ space }, false)).toEqual([]);
    space.refusal = "the journal is full";
    expect(notReadyReasons({ space }, false)).toEqual(["the journal is full"]);
    expect(notReadyReasons({ space }, true)).toEqual(["the journal is full", "the program is stopping"]);
  });

  test("says what is degraded on request, without changing the status code or quoting error messages", async () => {
    const base = await start();
    const verbose = async () => (await fetch(`${base}/readyz?verbose`)).json();
    expect(await verbose()).toEqual({ status: "ready" });
    health = {
      ...healthy,
      export: { logs: { kind: "refusing", why: "no <b>tenant", since: 0 }, metrics: { kind: "ok", leftOut: 3 } },
      polls: [
        { log: "network", trouble: "HTTP 403", remedy: "Give the OAuth client the scope logs:network:read." },
        { log: "configuration", trouble: "HTTP 500", lastSuccess: "1970-01-01T00:00:00Z" },
      ],
      tailnet: [
        { task: "network log stream", trouble: "HTTP 403", remedy: "Enable log streaming." },
        { task: "webhook", trouble: "HTTP 403" },
        { task: "device list", trouble: "HTTP 500" },
      ],
    };
    expect(await verbose()).toEqual({
      status: "degraded",
      reasons: [
        "Tailscale is not set up: network log stream, webhook",
        "the device list cannot be read",
        "backend has accepted no log records since 1970-01-01T00:00:00.000Z",
        "backend rejects 3 metric series",
        "polling of the network log has not succeeded since the start",
        "polling of the configuration log failing",
      ],
      remedies: [
        "Enable log streaming. See the error, and run tailscale2otel check --online: it tests the API and each scope.",
        "See the error, and run tailscale2otel check --online: it tests the API and each scope.",
        expect.stringContaining("Check the tenant, the headers and the path of otlp.endpoint"),
        expect.stringContaining("Raise the backend's limit"),
        "Give the OAuth client the scope logs:network:read.",
      ],
    });
    const plain = await fetch(`${base}/readyz`);
    expect([plain.status, await plain.json()]).toEqual([200, { status: "ready" }]);
    health = { ...health, notReady: ["the journal is full"] };
    expect(await verbose()).toEqual({
      status: "not ready",
      reasons: ["the journal is full"],
      remedies: [expect.stringContaining("raise state.max_bytes")],
    });
  });

  test("local mode, a disabled signal and one not tried yet are not degraded", () => {
    for (const kind of ["local", "disabled", "untried", "idle", "delivering"])
      expect(
        degradedReasons({ export: { logs: { kind }, metrics: { kind } }, polls: [{ log: "network" }], tailnet: [] }),
      ).toEqual([]);
  });
});
