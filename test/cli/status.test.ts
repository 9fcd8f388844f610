/** `status`: readable on a terminal, JSON in a pipe, and clear if nothing answers. */
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { Status } from "../../src/admin/status.ts";
import { statusText } from "../../src/cli/status.ts";
import { ask, configure, startKept } from "./kept-program.ts";
import { temporaryDirectory } from "./program.ts";
import { freePort } from "../support/port.ts";
import { configAt, numberedFlow, openStore, take } from "../support/store.ts";

const parent = temporaryDirectory();
const now = Date.UTC(2026, 10, 2, 9, 15);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

const status: Parameters<typeof statusText>[0] = {
  version: "1.2.3",
  notReady: [],
  counters: { kind: "current" },
  conservation: {
    received: 106,
    accepted: 100,
    duplicate: 3,
    skipped: 2,
    quarantined: 1,
    delivered: 90,
    pending: 8,
    deadLettered: 2,
    lost: 0,
    uncounted: 0,
  },
  delivery: { pendingSince: ago(300), lastSuccess: { logs: ago(310), metrics: ago(5) } },
  horizon: { flow: 21_600, audit: 172_800, webhook: 59 },
  unverifiable: { flow: 5400, audit: 0 },
  space: { usedBytes: 40_000_000, limitBytes: 2 ** 30, refusal: undefined },
  polls: [
    { log: "network", readUntil: ago(120), lastSuccess: ago(3) },
    { log: "configuration", trouble: "HTTP 403" },
  ],
  redeliveries: [
    {
      name: "replay",
      state: "in progress",
      startedAt: ago(60),
      since: ago(28_800),
      until: ago(0),
      total: 400,
      delivered: 100,
      rejected: 1,
      trouble: "503 Service Unavailable",
    },
  ],
  export: {
    logs: { kind: "waiting", why: "503 Service Unavailable", since: ago(300) },
    metrics: { kind: "ok" },
  },
};

test("on a terminal it is a table with the terms of both sums", () => {
  expect(statusText(status, now, { hasColour: false })).toMatchInlineSnapshot(`
    "health        accepting; export of logs failing
    version       1.2.3
    received      106 = 100 accepted + 3 duplicate + 2 skipped + 1 quarantined
    accepted      100 = 90 delivered + 8 pending + 2 dead-lettered
    backlog       oldest record received 5m ago, at 2026-11-02T09:10:00.000Z
    logs          failing, retrying since 2026-11-02T09:10:00.000Z: 503 Service Unavailable (last success 5m ago)
    metrics       ok (last success 5s ago)
    dedup window  flow 6h, audit 48h, webhook 59s
    not polled    90m of the flow log, beyond the dedup window
    space         38MiB of 1GiB
    polling       network log read up to 2m ago
    polling       configuration log not read yet: HTTP 403
    replays       replay of 2026-11-02T01:15:00.000Z to 2026-11-02T09:15:00.000Z: in progress, 100 of 400 records delivered (25 %), 1 rejected; waiting: 503 Service Unavailable
    "
  `);
});

test("an instance that refuses records says why, and what damage has cost stands in the sums", () => {
  const full: Status = {
    ...status,
    notReady: ["the journal is full"],
    redeliveries: [],
    delivery: { lastSuccess: {} },
  };
  const text = statusText({ ...full, conservation: { ...full.conservation, lost: 4, uncounted: 5 } }, now, {
    hasColour: true,
  });
  expect(text).toContain("\u001b[31mthe journal is full\u001b[39m");
  expect(text).toContain("100 + 5 uncounted = 90 delivered + 8 pending + 2 dead-lettered + 4 lost");
  expect(text).toMatch(/^backlog +none$/m);
});

test("an instance whose metrics are refused is not simply well", () => {
  const why = "HTTP 400: label name too long";
  const text = statusText(
    { ...status, export: { logs: { kind: "delivering" }, metrics: { kind: "failing", why, since: ago(300) } } },
    now,
    { hasColour: true },
  );
  expect(text).toContain("\u001b[33maccepting; export of metrics failing\u001b[39m");
  expect(text).toMatch(/^metrics +failing since 2026-11-02T09:10:00\.000Z: HTTP 400: label name too long \(last/m);
  expect(text).toMatch(/^logs +ok \(/m);
});

test("an instance that restores its counters says how far it has come, and that the sums are incomplete", () => {
  const restoring = { kind: "restoring", measuredRow: 40, lastRow: 1000 } as const;
  const text = statusText({ ...status, counters: restoring }, now, { hasColour: false });
  expect(text).toMatch(/^counters +restoring, row 40 of 1000; the sums are incomplete$/m);
});

test("a signal of which nothing was sent says why", () => {
  const rowsOf = (health: typeof status.export) => {
    const { export: _, ...stopped } = { ...status, delivery: { lastSuccess: {} } };
    const shown = health === undefined ? stopped : { ...stopped, export: health };
    return statusText(shown, now, { hasColour: false }).match(/^(logs|metrics) .*$/gm);
  };
  expect(rowsOf({ logs: { kind: "untried" }, metrics: { kind: "untried" } })).toEqual([
    "logs          not sent yet",
    "metrics       not sent yet",
  ]);
  expect(rowsOf({ logs: { kind: "local" }, metrics: { kind: "disabled" } })).toEqual([
    "logs          local mode: not sent (otlp.endpoint is empty)",
    "metrics       not exported: disabled in the configuration",
  ]);
  expect(rowsOf(undefined)).toEqual(["logs          not running", "metrics       not running"]);
});

test("an instance that does not answer is told from one that is stopped", async () => {
  const directory = configure(parent, "unreached", "");
  const store = openStore(configAt(join(directory, "state")));
  const { code, stderr } = await ask(directory, `status --set admin.listen=127.0.0.1:${await freePort()}`);
  store.close();
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /an instance uses \S+state, but nothing answers at http:\/\/127\.0\.0\.1:\d+: give its address with --url or admin\.listen/,
  );
}, 30_000);

test("of a running instance it is JSON in a pipe, with exit code 0", async () => {
  const directory = configure(parent, "running", "");
  const running = await startKept(directory);
  const { code, stdout } = await ask(directory, "status", running);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    running: true,
    notReady: [],
    conservation: { received: 0, accepted: 0 },
    horizon: { flow: 21_600, audit: 172_800, webhook: 93_600 },
    redeliveries: [],
  });
  await running.stop();
}, 30_000);

test("without an instance it shows the journal if there is one, and exits with 1", async () => {
  const directory = configure(parent, "stopped", "");
  const nothing = await ask(directory, `status --set admin.listen=127.0.0.1:${await freePort()}`);
  expect([nothing.code, nothing.stdout]).toEqual([1, ""]);
  expect(nothing.stderr).toMatch(
    /^tailscale2otel: nothing answers at http:\/\/127\.0\.0\.1:\d+, and there is no journal in /,
  );
  const elsewhere = await ask(directory, `status --url http://127.0.0.1:${await freePort()}`);
  expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining("nothing answers at")]);

  const store = openStore(configAt(join(directory, "state")));
  await take(store, [numberedFlow(1), numberedFlow(2)], Date.now());
  store.close();
  const stopped = await ask(directory, "status");
  expect(stopped.code).toBe(1);
  expect(JSON.parse(stopped.stdout)).toMatchObject({
    running: false,
    counters: { kind: "current" },
    conservation: { received: 2, accepted: 2, pending: 2, delivered: 0 },
    notReady: [expect.stringContaining("not running")],
  });
}, 30_000);
