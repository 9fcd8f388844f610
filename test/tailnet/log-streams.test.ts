/** The log streams that the program sets up: compared first, replaced with a warning, and retried until it works. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/lib/clock.ts";
import { createLogStreams, type LogStreams } from "../../src/tailnet/log-streams.ts";
import type { LogName, LogStreamTarget } from "../../src/tailscale/index.ts";
import { observedGauges, type ObservedGauges, recordedLog, type RecordedLog } from "../support/recorded-telemetry.ts";
import { apiOf } from "../support/tailnet-api.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { aWhile, until } from "../support/wait.ts";

const token = "the-token-of-the-stream";

let tailnet: Tailnet;
let sink: ReturnType<typeof Bun.serve>;
/** What the journal stores. */
let state: Map<string, Uint8Array>;
let target: LogStreamTarget;
let running: LogStreams[];
let log: RecordedLog;
let gauges: ObservedGauges;
let taken: Record<LogName, number>;

beforeEach(async () => {
  tailnet = await startTailnet();
  sink = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("{}") });
  state = new Map();
  const url = `http://localhost:${sink.port}/services/collector/event`;
  target = { url, user: "tailscale2otel", token, compressionFormat: "zstd" };
  running = [];
  taken = { network: 0, configuration: 0 };
});
afterEach(async () => {
  await Promise.all(running.map((streams) => streams.stop(1000)));
  await sink.stop(true);
  await tailnet.stop();
});

function create(
  logs: readonly LogName[] = ["network", "configuration"],
  firstMs = 1,
  used: LogStreamTarget = target,
): LogStreams {
  log = recordedLog();
  gauges = observedGauges();
  const streams = createLogStreams(
    {
      logs,
      target: used,
      checks: { firstMs: 2, maxMs: 2 },
      backoff: { firstMs, maxMs: Math.max(5, firstMs) },
    },
    {
      api: apiOf(tailnet),
      telemetry: gauges,
      journal: { readState: (name) => state.get(name), writeState: (name, value) => void state.set(name, value) },
      received: (name) => taken[name],
      logger: log,
      clock: systemClock,
      random: Math.random,
    },
  );
  running.push(streams);
  return streams;
}

const asked = (method: string, end = "/stream") =>
  tailnet.requests.filter((request) => request.method === method && request.path.endsWith(end));
/** Resolves once each of these streams is set and its status read twice more: by then the first answer has been used. */
async function looked(...logs: readonly LogName[]): Promise<void> {
  const looks = (name: LogName): number => asked("GET", `/${name}/stream/status`).length;
  const before = new Map(logs.map((name) => [name, looks(name)]));
  await until(() => logs.every((name) => looks(name) >= (before.get(name) ?? 0) + 2));
}

test("both streams are set if there are none", async () => {
  create().start();
  await looked("network", "configuration");
  for (const name of ["network", "configuration"] as const) expect(tailnet.stream(name)).toMatchObject({ ...target });
  expect(asked("PUT")).toHaveLength(2);
  expect(log.said("warn", "")).toEqual([]);
  expect(log.said("info", "now points to this receiver")).toHaveLength(2);
  expect(log.text).not.toContain(token);
});

test("only the wanted streams are set", async () => {
  create(["configuration"]).start();
  await looked("configuration");
  expect(tailnet.stream("network")).toBeUndefined();
  expect(tailnet.stream("configuration")).toMatchObject({ token });
});

test("a second start changes nothing", async () => {
  const first = create();
  first.start();
  await looked("network", "configuration");
  await first.stop(60_000);
  create().start();
  await looked("network", "configuration");
  expect(asked("PUT")).toHaveLength(2);
  expect(log.said("info", "already points")).toHaveLength(2);
  expect(log.said("warn", "")).toEqual([]);
  for (const value of state.values()) expect(Buffer.from(value).toString("latin1")).not.toContain(token);
});

describe("a stream that points here is set again", () => {
  test.each([
    ["the token", { token: "another" }],
    ["the compression", { compressionFormat: "gzip" as const }],
    ["the user", { user: "somebody" }],
  ])("if %s differs from the settings", async (_, other) => {
    const first = create(["network"]);
    first.start();
    await until(() => state.size === 1);
    await first.stop(1000);
    create(["network"], 1, { ...target, ...other }).start();
    await until(() => asked("PUT").length === 2);
    await until(() => log.said("info", "now points to this receiver").length === 1);
    expect(log.said("warn", "setting it again")).toHaveLength(1);
  });

  test("if somebody changed it at Tailscale, or if the stored copy is damaged", async () => {
    const first = create(["network"]);
    first.start();
    await until(() => state.size === 1);
    await first.stop(1000);
    await apiOf(tailnet).putLogStream("network", { ...target, user: "somebody" });
    const second = create(["network"]);
    second.start();
    await until(() => asked("PUT").length === 3);
    await second.stop(1000);
    state.set("log_stream/network", new Uint8Array(5));
    create(["network"]).start();
    await until(() => asked("PUT").length === 4);
  });
});

test("a stream that points elsewhere is replaced, with a warning that describes the old one", async () => {
  const foreign = {
    destinationType: "datadog",
    url: "https://siem.example.com/in?key=secret-key",
    user: "ops",
    token: "x",
  };
  await apiOf(tailnet).putLogStream("network", { ...target, ...foreign });
  create().start();
  await looked("network", "configuration");
  expect(tailnet.stream("network")).toMatchObject({ ...target });
  const [warning, ...more] = log.said("warn", "");
  expect(more).toEqual([]);
  expect(warning).toMatchObject({
    message: "the network log stream: replacing it: it points elsewhere",
    fields: { url: "https://siem.example.com/in?[redacted]", user: "ops" },
  });
  expect(log.text).not.toMatch(/secret-key|the-token/);
});

test("a stream that points here with an unknown token is set again", async () => {
  await apiOf(tailnet).putLogStream("network", { ...target, token: "an-older-one" });
  create(["network"]).start();
  await until(() => tailnet.stream("network")?.token === token);
  await until(() => log.said("info", "now points to this receiver").length === 1);
  expect(log.said("warn", "").map(({ message }) => message)).toEqual([
    "the network log stream: setting it again: its token, user or compression may differ",
  ]);
});

describe("a new token", () => {
  test("is set, and an unchanged one is not", async () => {
    const streams = create();
    streams.start();
    await looked("network", "configuration");
    streams.useToken(token);
    await looked("network", "configuration");
    expect(log.said("info", "already points")).toEqual([]);
    streams.useToken("the-next-token");
    await until(() => asked("PUT").length === 4);
    await until(() => log.said("info", "now points to this receiver").length === 4);
    for (const name of ["network", "configuration"] as const)
      expect(tailnet.stream(name)?.token).toBe("the-next-token");
    expect(log.text).not.toMatch(/the-next-token|the-token/);
  });

  test("is set last, however late the answer to an earlier request", async () => {
    tailnet.fail({ method: "GET", path: /stream$/, effect: { kind: "slow", ms: 50 } });
    const streams = create(["network"]);
    streams.start();
    await until(() => asked("GET").length === 1);
    streams.useToken("second");
    streams.useToken("third");
    const puts = () => asked("PUT").map(({ body }) => (JSON.parse(body) as { token: string }).token);
    await until(() => puts().includes(token) && puts().includes("third"));
    expect(puts().at(-1)).toBe("third");
  });

  test("is never set if it is empty", async () => {
    const streams = create(["network"]);
    streams.start();
    await until(() => log.said("info", "now points to this receiver").length === 1);
    streams.useToken("");
    const without = create(["configuration"], 1, { ...target, token: "" });
    without.start();
    await looked("network");
    await aWhile();
    expect(asked("PUT").map(({ body }) => (JSON.parse(body) as { token: string }).token)).toEqual([token]);
    without.useToken("a-token");
    await until(() => tailnet.stream("configuration")?.token === "a-token");
  });

  test("given before the start is used", async () => {
    const streams = create(["network"]);
    streams.useToken("from-the-start");
    streams.start();
    await until(() => tailnet.stream("network") !== undefined);
    expect(tailnet.stream("network")?.token).toBe("from-the-start");
    expect(asked("PUT")).toHaveLength(1);
  });
});

describe("retries until it works:", () => {
  test("a missing scope, with one warning and its remedy", async () => {
    tailnet.grant(["log_streaming:read"]);
    create().start();
    const puts = (name: LogName): number => asked("PUT", `/${name}/stream`).length;
    await until(() => puts("network") >= 3 && puts("configuration") >= 3);
    const warnings = log.said("warn", "cannot set the");
    expect(warnings.map(({ message }) => message.split(" ")[3]).toSorted()).toEqual(["configuration", "network"]);
    expect(warnings[0]?.fields["remedy"]).toContain("log_streaming");
    tailnet.grant(["log_streaming"]);
    tailnet.expireTokens();
    await until(() => tailnet.stream("network") !== undefined && tailnet.stream("configuration") !== undefined);
  });

  test("an API that is down", async () => {
    tailnet.fail({ path: /\/logging\//, times: 3, effect: { kind: "status", status: 503 } });
    create(["network"]).start();
    await until(() => tailnet.stream("network") !== undefined);
    expect(log.said("warn", "cannot set the network log stream").length).toBeGreaterThan(0);
  });

  test("a status that cannot be read", async () => {
    create(["network"]).start();
    await looked("network");
    tailnet.fail({ path: /status$/, times: 9, effect: { kind: "status", status: 404 } });
    await until(() => log.said("warn", "cannot read the status of the network log stream").length === 1);
    const failed = asked("GET", "/stream/status").length;
    await until(() => asked("GET", "/stream/status").length > failed + 20);
    expect(log.said("warn", "")).toHaveLength(1);
  });
});

describe("the status", () => {
  const flow = { nodeId: "n1CNTRL", start: "2026-11-22T10:00:00Z", end: "2026-11-22T10:00:05Z", virtualTraffic: [] };

  test("logs the first delivery once", async () => {
    create(["network"]).start();
    await looked("network");
    expect(log.said("info", "Tailscale delivers")).toEqual([]);
    tailnet.addFlow(flow);
    await tailnet.pushStream("network");
    taken.network = 1;
    await until(() => log.said("info", "Tailscale delivers the network log stream").length === 1);
    await looked("network");
    expect(log.said("info", "Tailscale delivers")).toHaveLength(1);
  });

  test("exports Tailscale's counts, and how many entries are missing", async () => {
    create().start();
    await looked("network", "configuration");
    for (let count = 0; count < 5; count++) tailnet.addFlow({ ...flow, nodeId: `n${count}CNTRL` });
    taken.network = 3;
    await tailnet.pushStream("network");
    await until(() => gauges.read("tailscale2otel.logstream.missing")["network"] === 2);
    expect(gauges.read("tailscale.logstream.entries_sent")).toEqual({ network: 5, configuration: 0 });
    expect(gauges.read("tailscale.logstream.requests_failed")).toEqual({ network: 0, configuration: 0 });
    expect(gauges.read("tailscale.logstream.requests")["network"]).toBe(1);
    expect(gauges.read("tailscale.logstream.bytes_sent")["network"]).toBeGreaterThan(0);
    expect(gauges.read("tailscale.logstream.configured")).toEqual({ network: 1, configuration: 1 });
    expect(gauges.read("tailscale.logstream.spoofed_entries")).toEqual({ network: 0, configuration: 0 });
    expect(gauges.read("tailscale.logstream.error")).toEqual({ network: 0, configuration: 0 });
    expect(Object.keys(gauges.read("tailscale.logstream.last_activity"))).toEqual(["network"]);
    taken.network = 5;
    await until(() => gauges.read("tailscale2otel.logstream.missing")["network"] === 0);
  });

  test("logs a delivery error reported by Tailscale once", async () => {
    create(["network"]).start();
    await looked("network");
    await sink.stop(true);
    tailnet.addFlow(flow);
    await tailnet.pushStream("network", { maxAttempts: 2 });
    await until(() => log.said("warn", "Tailscale cannot deliver the network log stream").length === 1);
    await looked("network");
    expect(log.said("warn", "")).toHaveLength(1);
    expect(gauges.read("tailscale.logstream.requests_failed")).toEqual({ network: 2 });
    expect(gauges.read("tailscale.logstream.error")).toEqual({ network: 1 });
  });
});

test("stops at once before the start, during a wait and when stopped twice, and sends no more requests", async () => {
  const never = create();
  await never.stop(1000);
  tailnet.fail({ path: /\/logging\//, times: 1000, effect: { kind: "status", status: 403 } });
  const streams = create(undefined, 3_600_000);
  streams.start();
  await until(() => log.said("warn", "cannot set").length === 2);
  await streams.stop(60_000);
  await streams.stop(60_000);
  const before = tailnet.requests.length;
  streams.useToken("another");
  await aWhile();
  expect(tailnet.requests.length).toBe(before);
});
