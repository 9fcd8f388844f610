/** `status`: readable on a terminal, JSON in a pipe, and clear if nothing answers. */
import { chownSync, cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { type ClusterStatus, type FollowerStatus, whomToAsk } from "../../src/admin/cluster.ts";
import type { RunningStatus, Status } from "../../src/admin/status.ts";
import { degradedReasons, troublesOf } from "../../src/admin/troubles.ts";
import { statusText } from "../../src/cli/status.ts";
import { ask, configure, startRunning } from "./running.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { freePort } from "../support/port.ts";
import { configAt, numberedFlow, openStore, take } from "../support/store.ts";
import { emptyStatus } from "../support/status.ts";

const parent = temporaryDirectory();
const now = Date.UTC(2026, 10, 2, 9, 15);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

const status: RunningStatus = {
  ...emptyStatus,
  version: "1.2.3",
  statePath: "/var/lib/tailscale2otel",
  conservation: {
    ...emptyStatus.conservation,
    received: 106,
    accepted: 100,
    duplicate: 3,
    skipped: 2,
    quarantined: 1,
    delivered: 90,
    pending: 8,
    deadLettered: 2,
  },
  delivery: { pendingSince: ago(300), lastSuccess: { logs: ago(310), metrics: ago(5) } },
  horizon: { flow: 21_600, audit: 172_800, webhook: 59 },
  unverifiable: { flow: 5400, audit: 0 },
  space: { usedBytes: 40_000_000, limitBytes: 2 ** 30, refusal: undefined },
  polls: [
    { log: "network", readUntil: ago(120), lastSuccess: ago(3) },
    { log: "configuration", trouble: "HTTP 403" },
  ],
  tailnet: [],
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
  degraded: [],
  export: {
    logs: { kind: "waiting", why: "503 Service Unavailable", since: ago(300) },
    metrics: { kind: "ok" },
  },
};

/** The text of a status, with the instance's own view of its health. */
function shown(of: RunningStatus, hasColor = false): string {
  return statusText({ ...of, degraded: degradedReasons(of), troubles: troublesOf(of) }, now, { hasColor });
}

test("is a table with the terms of both sums on a terminal", () => {
  expect(shown(status)).toMatchInlineSnapshot(`
    "instance      none running; journal in /var/lib/tailscale2otel
    health        degraded: accepting, but log export failing since 2026-11-02T09:10:00.000Z; polling of the configuration log has not succeeded since the start
    what to do    Check otlp.endpoint, and whether the backend is running and can be reached: tailscale2otel check --online tests it.
    what to do    See the error, and run tailscale2otel check --online: it tests the API and each scope.
    version       1.2.3
    received      106 = 100 accepted + 3 duplicate + 2 skipped + 1 quarantined
    accepted      100 = 90 delivered + 8 pending + 2 dead-lettered
    backlog       oldest record received 5m ago, at 2026-11-02T09:10:00.000Z
    logs          failing, retrying since 2026-11-02T09:10:00.000Z: 503 Service Unavailable (last success 5m ago)
    metrics       ok (last success 5s ago)
    dedup window  flow 6h, audit 48h, webhook 59s
    not polled    90m of the flow log, beyond the dedup window
    space         38 MiB of 1 GiB
    polling       network log read up to 2m ago
    polling       configuration log failing, no successful poll since the start: HTTP 403
    replays       replay of 2026-11-02T01:15:00.000Z to 2026-11-02T09:15:00.000Z: in progress, 100 of 400 records delivered (25%), 1 rejected; waiting: 503 Service Unavailable
    "
  `);
});

test("an instance that refuses records says why, and the sums include what was lost to damage", () => {
  const full: Status = {
    ...status,
    notReady: ["the journal is full"],
    redeliveries: [],
    delivery: { lastSuccess: {} },
  };
  const text = statusText({ ...full, conservation: { ...full.conservation, lost: 4, uncounted: 5 } }, now, {
    hasColor: true,
  });
  expect(text).toContain("\u001b[31mthe journal is full\u001b[39m");
  expect(text).toContain("100 + 5 uncounted = 90 delivered + 8 pending + 2 dead-lettered + 4 lost");
  expect(text).toMatch(/^backlog +none$/m);
});

test("an instance is degraded if its metrics are refused or all its polls fail", () => {
  const why = "HTTP 400: label name too long";
  const text = shown(
    { ...status, export: { logs: { kind: "delivering" }, metrics: { kind: "failing", why, since: ago(300) } } },
    true,
  );
  expect(text).toContain(
    "\u001b[33mdegraded: accepting, but metric export failing since 2026-11-02T09:10:00.000Z; polling",
  );
  expect(text).toMatch(
    /^metrics +failing, retrying since 2026-11-02T09:10:00\.000Z: HTTP 400: label name too long \(last/m,
  );
  expect(text).toMatch(/^logs +ok \(/m);
});

test("an instance that could not set up Tailscale is degraded, with one line per problem", () => {
  const trouble = "the scope log_streaming is missing";
  const rows = shown({
    ...status,
    tailnet: [
      { task: "network log stream", trouble },
      { task: "device list", trouble: "HTTP 500" },
    ],
  });
  expect(rows).toMatch(/^health .*degraded: .*Tailscale is not set up: network log stream; the device list cannot be/m);
  expect(rows).toMatch(/^tailnet +network log stream not set: the scope log_streaming is missing$/m);
  expect(rows).toMatch(/^tailnet +device list not read: HTTP 500$/m);
});

test("a backend that accepts nothing is shown with its answer and its backlog", () => {
  const logs = { kind: "refusing", why: "HTTP 400: field too long", since: ago(300) };
  const one = { ...status, conservation: { ...status.conservation, pending: 1 } };
  expect(shown({ ...one, export: { ...status.export, logs } })).toMatch(
    /^logs +nothing accepted since 2026-11-02T09:10:00\.000Z: HTTP 400: field too long \(1 record pending\)/m,
  );
});

test("a failing poll says when it last succeeded, and how far it is behind", () => {
  const failing = { log: "network", readUntil: ago(400), trouble: "HTTP 403" };
  const rows = shown({ ...status, polls: [failing, { ...failing, lastSuccess: ago(200) }] });
  expect(rows).toMatch(/^polling +network log failing, no successful poll since the start, 6m behind: HTTP 403$/m);
  expect(rows).toMatch(/^polling +network log failing, last success 3m ago, 6m behind: HTTP 403$/m);
});

test("an instance that is restoring its counters shows its progress, and that the sums are incomplete", () => {
  const restoring = { kind: "restoring", measuredRow: 40, lastRow: 1000 } as const;
  const text = statusText({ ...status, counters: restoring }, now, { hasColor: false });
  expect(text).toMatch(/^counters +restoring, row 40 of 1000; the sums are incomplete$/m);
});

test("the first line names the instance, or says that none runs, and where the journal is", () => {
  const first = (address?: string) => statusText({ ...status, address }, now, { hasColor: false }).split("\n", 1)[0];
  expect(first("http://127.0.0.1:9091")).toBe("instance      http://127.0.0.1:9091, state /var/lib/tailscale2otel");
  expect(first()).toBe("instance      none running; journal in /var/lib/tailscale2otel");
});

test("a signal that was accepted before is not reported as unsent", () => {
  const { export: before } = status;
  const text = shown({ ...status, export: { ...before, metrics: { kind: "untried" } } });
  expect(text).toMatch(/^metrics +ok \(last success 5s ago\)$/m);
});

test("a signal that was never sent says why", () => {
  const rowsOf = (health: RunningStatus["export"] | undefined) => {
    const { export: _, ...stopped } = { ...status, delivery: { lastSuccess: {} } };
    const all = health === undefined ? stopped : { ...stopped, export: health };
    return statusText(all, now, { hasColor: false }).match(/^(logs|metrics) .*$/gm);
  };
  expect(rowsOf({ logs: { kind: "untried" }, metrics: { kind: "untried" } })).toEqual([
    "logs          not sent yet",
    "metrics       not sent yet",
  ]);
  expect(rowsOf({ logs: { kind: "local" }, metrics: { kind: "disabled" } })).toEqual([
    "logs          local mode: not sent (otlp.endpoint is empty)",
    "metrics       disabled in the configuration",
  ]);
  expect(rowsOf(undefined)).toEqual(["logs          not running", "metrics       not running"]);
});

test("an instance that does not answer is distinguished from a stopped one", async () => {
  const directory = configure(parent, "unreached", "");
  const store = await openStore(configAt(join(directory, "state")));
  const { code, stderr } = await ask(directory, `status --set admin.listen=127.0.0.1:${await freePort()}`);
  store.close();
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /no instance answers \(connection refused by 127\.0\.0\.1:\d+\), although an instance is using \S+state\. Set admin\.listen as that instance does, or give its admin address with --url; with admin\.enabled = false it has none\./,
  );
}, 120_000);

test("is text in a pipe too for a running instance, and JSON with --json, with exit code 0", async () => {
  const directory = configure(parent, "running", "");
  const running = await startRunning(directory);
  const { code, stdout } = await ask(directory, "status", running);
  expect(code).toBe(0);
  expect((await runToEnd(directory, ["status", "--url", running.admin])).stdout).toMatch(
    new RegExp(`^instance +${running.admin}, state ${join(directory, "state")}\\nhealth +accepting$`, "m"),
  );
  expect(JSON.parse(stdout)).toMatchObject({
    running: true,
    notReady: [],
    conservation: { received: 0, accepted: 0 },
    horizon: { flow: 21_600, audit: 172_800, webhook: 93_600 },
    redeliveries: [],
  });
  await running.stop();
}, 120_000);

test("shows the journal, if there is one, without an instance, and exits with 1", async () => {
  const directory = configure(parent, "stopped", "");
  const nothing = await ask(directory, `status --set admin.listen=127.0.0.1:${await freePort()}`);
  expect([nothing.code, nothing.stdout]).toEqual([1, ""]);
  expect(nothing.stderr).toMatch(
    /^tailscale2otel: no instance answers \(connection refused by 127\.0\.0\.1:\d+\), and there is no journal in \S+\. If an instance runs with other settings, give this command the same --config or TS2OTEL_… variables, or the instance's admin address with --url\.\n$/,
  );
  const elsewhere = await ask(directory, `status --url http://127.0.0.1:${await freePort()}`);
  expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining("no instance answers (")]);

  const store = await openStore(configAt(join(directory, "state")));
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
}, 120_000);

test("rows that the journal has lost with their counts are shown, because no sum includes them", async () => {
  const directory = configure(parent, "lost-rows", "");
  const path = join(directory, "state");
  const before = await openStore(configAt(path));
  await take(before, [numberedFlow(1)], Date.now());
  before.close();
  const killed = await openStore(configAt(path));
  await take(killed, [numberedFlow(2)], Date.now());
  cpSync(path, `${path}-killed`, { recursive: true });
  killed.close();
  rmSync(path, { recursive: true });
  renameSync(`${path}-killed`, path);
  rmSync(join(path, "journal.db-wal"));
  const { stdout } = await ask(directory, "status");
  expect(JSON.parse(stdout)).toMatchObject({ conservation: { accepted: 1, pending: 1, lost: 0 }, lostRows: 1 });
  const running = await startRunning(directory);
  expect((await runToEnd(directory, ["status", "--url", running.admin])).stdout).toMatch(
    /^lost +1 row of the journal; records whose counts were lost with them are in neither sum$/m,
  );
  await running.stop();
}, 120_000);

test("an address where nothing answers, a missing token and a wrong token are distinguished, each with a next step", async () => {
  const directory = configure(parent, "unreachable", "");
  const running = await startRunning(directory);
  const { host } = new URL(running.admin);
  const fix =
    "Set admin.token (TS2OTEL_ADMIN__TOKEN) to the instance's token, or give the instance's configuration with --config.";
  const gone = `127.0.0.1:${await freePort()}`;
  const cases = [
    [
      `--url http://${gone}`,
      `no instance answers (connection refused by ${gone}). Start the instance, or give the address that it logs as "admin" when it is ready.`,
    ],
    [`--url ${running.admin} --set admin.token=x`, `${running.admin} rejects the admin token that is set here. ${fix}`],
    [
      `--url ${running.admin} --set admin.token= --set state.path=other`,
      `${running.admin} requires the admin token, and none is set here. ${fix}`,
    ],
    [
      `--url https://${host}`,
      `no instance answers (TLS handshake with ${host} failed (EPROTO)). Without admin.tls, the admin listener uses http://; with a proxy in front of it, check the proxy's certificate.`,
    ],
  ] as const;
  for (const [words, message] of cases)
    expect(await ask(directory, `status ${words}`)).toEqual({
      code: 1,
      stdout: "",
      stderr: `tailscale2otel: ${message}\n`,
    });
  await running.stop();
}, 30_000);

test("another program at the address is distinguished from an instance, whatever it answers", async () => {
  const answers = [
    () => Response.json({ hello: 1 }),
    () => Response.json([]),
    () => Response.json({ notReady: "no", conservation: 1 }),
    () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    () => new Response("", { status: 404 }),
    () => new Response("", { status: 401 }),
    () => Response.redirect("http://127.0.0.1:1/"),
    () => Response.json({ error: "x" }, { status: 500 }),
  ];
  let answer = answers[0];
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => answer?.() ?? Response.error() });
  const directory = configure(parent, "foreign", "");
  const url = `http://127.0.0.1:${server.port}`;
  for (answer of answers) {
    const { code, stdout, stderr } = await ask(directory, `status --url ${url}`);
    expect([code, stdout, stderr]).toEqual([
      1,
      "",
      `tailscale2otel: ${url} is not an admin listener: another program or a receiver answers there. Give the address of the admin listener with --url, or set admin.listen.\n`,
    ]);
  }
  const list = await ask(directory, `quarantine list --set admin.listen=127.0.0.1:${server.port}`);
  expect(list.stderr).toContain("is not an admin listener");
  await server.stop(true);
}, 120_000);

test("an instance that stops answering midway is reported with a next step", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/api/v1/status") response.end(JSON.stringify(emptyStatus));
    else request.socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, stderr } = await ask(configure(parent, "gone", ""), `quarantine list --url http://${host}`);
  server.close();
  expect(stderr).toBe(
    `tailscale2otel: the instance has stopped answering (connection closed by ${host} without an answer). Check it with: tailscale2otel status\n`,
  );
  expect(code).toBe(1);
});

test("--strict exits with 1 while export fails, although records are accepted", async () => {
  const backend = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no", { status: 400 }) });
  const more = 'metric_interval = "1s"\n';
  const directory = configure(parent, "strict", `http://127.0.0.1:${backend.port}`, more);
  const running = await startRunning(directory);
  await running.program.line("metric export failing");
  const { code, stdout } = await ask(directory, "status", running);
  const { degraded, notReady, troubles } = JSON.parse(stdout) as RunningStatus;
  expect([code, notReady]).toEqual([0, []]);
  expect(degraded).toEqual([expect.stringMatching(/^metric export failing since 20/)]);
  // The backend is running and has answered, so the remedy does not say to check that.
  expect(troubles?.[0]?.remedy).toStartWith("Check the tenant, the headers and the path of otlp.endpoint");
  expect((await ask(directory, "status --strict", running)).code).toBe(1);
  const ready = await fetch(`${running.admin}/readyz?verbose`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { status: "degraded", reasons: degraded, remedies: troubles?.map(({ remedy }) => remedy) },
  ]);
  await running.stop();
  await backend.stop(true);
}, 120_000);

test.each([
  [
    "damaged",
    (path: string) => writeFileSync(path, "not a database at all".repeat(20)),
    /the journal in \S.* is damaged: .+\. Start the service: it/,
  ],
  [
    "cut short",
    (path: string) => writeFileSync(path, "SQLite format 3"),
    /the journal in \S.* is damaged: .+\. Start the service: it/,
  ],
  ["a directory", (path: string) => mkdirSync(path), /cannot use the state directory: |is damaged/],
] as const)(
  "a journal that is %s is left unchanged, with a next step",
  async (name, damage, message) => {
    const directory = configure(parent, `bad ${name}`, "");
    mkdirSync(join(directory, "state"), { mode: 0o700 });
    damage(join(directory, "state", "journal.db"));
    for (const words of ["status", "quarantine list", "replay --since 1h"]) {
      const { code, stdout, stderr } = await ask(
        directory,
        `${words} --set admin.listen=127.0.0.1:${await freePort()}`,
      );
      expect([words, code, stdout, stderr]).toEqual([words, 1, "", expect.stringMatching(message)]);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
    expect(readdirSync(join(directory, "state"))).toEqual(["journal.db"]);
  },
  120_000,
);

/** Only root may change the owner of a directory. */
test.skipIf(process.getuid?.() !== 0)("another user's state directory gets one reason and one remedy", async () => {
  const directory = configure(parent, "of another", "");
  mkdirSync(join(directory, "state"), { mode: 0o700 });
  chownSync(join(directory, "state"), 65_534, 65_534);
  const port = await freePort();
  const { code, stderr } = await ask(directory, `status --set admin.listen=127.0.0.1:${port}`);
  expect(stderr).toBe(
    `tailscale2otel: no instance answers (connection refused by 127.0.0.1:${port}), and this command cannot use the state directory: ${join(directory, "state")} belongs to another user (uid 65534, this process has 0). Run this as that user, or set another state.path.\n`,
  );
  expect(code).toBe(1);
});

test("each further destination has a line, plus one per signal, and a failing one makes the instance degraded", () => {
  const records = { types: ["flow", "audit", "webhook"] as const, required: true, accepted: 100, delivered: 60 };
  const text = shown({
    ...status,
    export: { logs: { kind: "delivering" }, metrics: { kind: "ok" } },
    polls: [],
    destinations: [
      {
        name: "archive",
        records: { ...records, pending: 40, deadLettered: 0, evicted: 0, pendingSince: ago(300) },
        export: { logs: { kind: "waiting", why: "HTTP 503", since: ago(300) }, metrics: { kind: "ok" } },
        lastSuccess: { logs: ago(310), metrics: ago(5) },
      },
      {
        name: "security",
        records: { ...records, types: ["audit"], required: false, pending: 0, deadLettered: 1, evicted: 39 },
        export: { logs: { kind: "idle" }, metrics: { kind: "disabled" } },
        lastSuccess: {},
      },
      { name: "metrics", export: { logs: { kind: "disabled" }, metrics: { kind: "ok", leftOut: 2 } }, lastSuccess: {} },
    ],
  });
  expect(text.split("\n").filter((line) => /^(health|destination| )/.test(line))).toMatchInlineSnapshot(`
    [
      "health        degraded: accepting, but log export to archive failing since 2026-11-02T09:10:00.000Z; destination metrics rejects 2 metric series",
      "destination   archive: 100 = 60 delivered + 40 pending + 0 dead-lettered; oldest received 5m ago",
      "  logs        failing, retrying since 2026-11-02T09:10:00.000Z: HTTP 503 (last success 5m ago)",
      "  metrics     ok (last success 5s ago)",
      "destination   security: 100 (only audit) = 60 delivered + 0 pending + 1 dead-lettered + 39 evicted",
      "  logs        ok",
      "  metrics     disabled in the configuration",
      "destination   metrics",
      "  logs        disabled in the configuration",
      "  metrics     ok, but the backend rejects 2 series",
    ]
  `);
});

describe("of instances that share a journal", () => {
  const cluster: ClusterStatus = {
    member: "m2",
    isLeading: false,
    members: [
      {
        id: "m1",
        host: "host-a",
        version: "1.2.3",
        adminAddress: "http://192.0.2.1:9091",
        startedAt: ago(600),
        seenAt: ago(1),
        isLeader: true,
      },
      {
        id: "m2",
        host: "b",
        version: "1.2.4",
        adminAddress: "",
        startedAt: ago(60),
        seenAt: ago(0),
        isLeader: false,
      },
    ],
    lease: { fence: 7, expiresInMs: 8200 },
    rows: { last: 100, counted: 99, toDeliver: 90 },
    roundTripMs: 1.2,
  };
  const plain = { hasColor: false, columns: undefined };
  const follower: FollowerStatus = {
    version: "1.2.4",
    statePath: "/var/lib/tailscale2otel",
    notReady: [],
    degraded: [],
    space: status.space,
    export: { logs: { kind: "following" }, metrics: { kind: "ok" } },
    polls: [],
    tailnet: [],
    cluster,
  };

  test("a follower shows the members, the lease and the lag, and no sums", () => {
    expect(statusText({ ...follower, address: "http://192.0.2.2:9091" }, now, plain)).toMatchInlineSnapshot(`
      "instance     http://192.0.2.2:9091, state /var/lib/tailscale2otel
      health       accepting
      version      1.2.4
      member       host-a  leads    1.2.3  http://192.0.2.1:9091  seen 1s ago
      member       b       follows  1.2.4  no admin address  seen 0s ago (this instance)
      lease        held by host-a, for 8.2s more, term 7
      lag          1 row to count, 11 rows to deliver
      database     answers in 1.2 ms
      own metrics  ok
      space        38 MiB of 1 GiB
      "
    `);
    const silent = { ...cluster, members: (cluster.members ?? []).map((one) => ({ ...one, seenAt: ago(90) })) };
    const text = statusText({ ...follower, cluster: silent }, now, plain);
    expect(text).toContain("host-a  leads    1.2.3  http://192.0.2.1:9091  seen 90s ago\n");
    expect(text).toContain("b       silent   1.2.4  no admin address  seen 90s ago (this instance)\n");
    const { members: _, lease: __, rows: ___, roundTripMs: ____, ...asked } = cluster;
    const away = { ...follower, cluster: { ...asked, trouble: "the database does not answer" } };
    expect(statusText(away, now, plain)).toContain("not known: the database does not answer");
  });

  test("the leader shows the members beside the sums", () => {
    const text = statusText({ ...status, cluster: { ...cluster, member: "m1", isLeading: true } }, now, plain);
    expect(text).toContain("host-a  leads    1.2.3  http://192.0.2.1:9091  seen 1s ago (this instance)");
    expect(text).toContain("106 = 100 accepted");
  });

  test("a follower names the leader for requests that only the leader can answer", () => {
    const own = "this instance is a follower";
    expect(whomToAsk(cluster)).toBe(`${own}: ask the leader, host-a, at http://192.0.2.1:9091`);
    const nobody = `${own}; no instance leads at the moment: ask again in a few seconds`;
    expect(whomToAsk({ ...cluster, members: [] })).toBe(nobody);
    expect(whomToAsk({ ...cluster, lease: { fence: 7, expiresInMs: -1 } })).toBe(nobody);
    expect(whomToAsk({ member: "m2", isLeading: false, trouble: "refused" })).toBe(
      `${own}; which instance leads is not known: refused`,
    );
  });
});
