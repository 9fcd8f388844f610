/** `status`: readable on a terminal, JSON in a pipe, and clear where nothing answers. */
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { Status } from "../../src/admin/status.ts";
import { statusText } from "../../src/cli/status.ts";
import { openState } from "../support/kept-state.ts";
import { freePort } from "../support/port.ts";
import { ask, configure, startKept } from "./kept-program.ts";
import { temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();
const now = Date.UTC(2026, 10, 2, 9, 15);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

const status: Parameters<typeof statusText>[0] = {
  version: "1.2.3",
  notReady: [],
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
  space: { usedBytes: 40_000_000, limitBytes: 2 ** 30, isFull: false },
  polls: [
    { log: "network", readUntil: ago(120), lastSuccess: ago(3) },
    { log: "configuration", trouble: "HTTP 403" },
  ],
  redeliveries: [
    {
      name: "replay",
      state: "under way",
      startedAt: ago(60),
      since: ago(28_800),
      until: ago(0),
      total: 400,
      sent: 100,
      refused: 1,
      trouble: "503 Service Unavailable",
    },
  ],
  export: {
    logs: { kind: "waiting", why: "503 Service Unavailable", since: now - 300_000 },
    metrics: { kind: "well" },
  },
};

test("on a terminal it is a table of what matters, with the terms of both sums", () => {
  expect(statusText(status, now, { hasColour: false })).toMatchInlineSnapshot(`
    "health      takes records
    version     1.2.3
    received    106 = 100 accepted + 3 duplicate + 2 skipped + 1 quarantined
    accepted    100 = 90 delivered + 8 pending + 2 dead-lettered
    waiting     for 5m, since 2026-11-02T09:10:00.000Z
    logs        waiting for 5m, last taken 5m ago: 503 Service Unavailable
    metrics     well, last taken 5s ago
    known back  flow 6h, audit 48h, webhook 59s
    not polled  90m of the flow log, beyond what is known
    space       38MiB of 1GiB
    polled      network log read up to 2m ago
    polled      configuration log not yet read: HTTP 403
    sent again  replay of 2026-11-02T01:15:00.000Z to 2026-11-02T09:15:00.000Z: under way, 100 of 400 records (25 %), 1 refused again; waiting: 503 Service Unavailable
    "
  `);
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
  expect(text).toContain("waiting     nothing");
});

test("of a running instance it is JSON in a pipe, and exit code 0", async () => {
  const directory = configure(parent, "running", "");
  const running = await startKept(directory);
  const { code, stdout } = await ask(directory, "status", running);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    running: true,
    notReady: [],
    conservation: { received: 0, accepted: 0 },
    horizon: { flow: 21_600, audit: 172_800, webhook: 93_600 },
    space: { isFull: false },
    redeliveries: [],
  });
  await running.stop();
}, 30_000);

test("where nothing answers it says so, with what the journal says if there is one, and exit code 1", async () => {
  const directory = configure(parent, "stopped", "");
  const nothing = await ask(directory, `status --set admin.listen=127.0.0.1:${await freePort()}`);
  expect([nothing.code, nothing.stdout]).toEqual([1, ""]);
  expect(nothing.stderr).toMatch(
    /^tailscale2otel: nothing answers at http:\/\/127\.0\.0\.1:\d+, and there is no journal in /,
  );
  const elsewhere = await ask(directory, `status --url http://127.0.0.1:${await freePort()}`);
  expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining("nothing answers at")]);

  openState(join(directory, "state")).close();
  const stopped = await ask(directory, "status");
  expect(stopped.code).toBe(1);
  expect(JSON.parse(stopped.stdout)).toMatchObject({
    running: false,
    notReady: [expect.stringContaining("not running")],
  });
}, 30_000);
