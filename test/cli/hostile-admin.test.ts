/** Commands when something hostile or broken answers at the address of the admin listener. */
import { expect, test } from "bun:test";
import { emptyStatus } from "../support/status.ts";
import { runToEnd, start, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();
const escape = "\u001b]52;c;aGk=\u0007";
const time = "2026-11-02T09:15:00Z";

const overview = {
  version: "0.1.0",
  at: time,
  startedAt: time,
  notReady: [],
  degraded: [],
  counters: emptyStatus.counters,
  conservation: emptyStatus.conservation,
  entries: 0,
  talkers: [],
  talkersSince: time,
};
const event = {
  id: "a.1.0.0",
  type: "audit",
  source: "stream",
  acceptedAt: time,
  time,
  observedTime: time,
  name: "x",
  severity: "INFO",
  body: "",
  attributes: {},
};
const page = { events: [event], next: "a.2.0.0", isEnd: true, behindSeconds: 0 };

/** An endless answer of spaces, which is valid JSON so far. */
const endless = (): Response =>
  new Response(
    new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20)) }),
  );

/** Runs a command against a server with these answers by path. */
async function against(args: readonly string[], answers: Readonly<Record<string, () => Response>>) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => answers[new URL(url).pathname.replace("/api/v1/", "")]?.() ?? Response.json(emptyStatus),
  });
  try {
    return await runToEnd(directory, [...args, "--url", `http://127.0.0.1:${server.port}`]);
  } finally {
    await server.stop(true);
  }
}

test.each<[command: string, path: string, answer: object]>([
  ["status", "status", { ...emptyStatus, version: escape }],
  ["status", "status", { ...emptyStatus, delivery: { lastSuccess: {}, pendingSince: escape } }],
  ["status", "status", { ...emptyStatus, conservation: { ...emptyStatus.conservation, received: escape } }],
  ["status", "status", { ...emptyStatus, counters: null }],
  ["top", "overview", {}],
  ["top", "overview", { ...overview, talkers: null }],
  ["top", "overview", { ...overview, talkers: [{ from: 1, to: null, bytes: escape }] }],
  ["tail", "events", { ...page, events: 5 }],
  ["tail", "events", { ...page, events: [null] }],
  ["tail", "events", { ...page, events: [{ ...event, time: `2026${escape}` }] }],
  ["tail", "events", { ...page, events: [{ ...event, type: escape }] }],
  ["tail", "events", { ...page, gap: { reason: "deleted", rows: escape } }],
])("%s refuses an answer of another shape to %s, and names the member", async (command, path, answer) => {
  const { code, stdout, stderr } = await against([command], { [path]: () => Response.json(answer) });
  expect(stderr).toMatch(
    /^tailscale2otel: http:\/\/127\.0\.0\.1:\d+ answers as no admin listener does \(\/.+\)\. If .*\n$/,
  );
  expect([code, stdout]).toEqual([1, ""]);
});

test.each([
  ["status", "status"],
  ["top", "overview"],
  ["tail", "events"],
  ["healthcheck", "/healthz"],
])("%s does not read an endless answer to its end", async (command, path) => {
  const { code, stdout, stderr } = await against([command], { [path]: endless });
  expect(stdout + stderr).toContain("is not an admin listener");
  expect(code).toBe(1);
});

test("healthcheck prints no terminal control sequences", async () => {
  const answer = { status: "ok", reasons: [escape] };
  const { stdout } = await against(["healthcheck"], { "/healthz": () => Response.json(answer) });
  expect(stdout).toStartWith("ok: ?]52;c;aGk=? (");
});

test("send does not read an endless answer to its end", async () => {
  const answers = { "/services/collector/event": endless };
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answers["/services/collector/event"] });
  const url = `http://127.0.0.1:${server.port}/services/collector/event`;
  const { stdout } = await runToEnd(directory, ["send", "hec", "--url", url, "--set", "streaming.token=a"]);
  await server.stop(true);
  expect(stdout).toContain("(cannot be read: the answer is larger than 65536 bytes)");
});

test("Ctrl-C ends top at once while the instance hangs", async () => {
  const hanging = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch({ url }) {
      if (url.endsWith("/status")) return Response.json(emptyStatus);
      hanging.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const { process, ended } = start(directory, ["top", "--url", `http://127.0.0.1:${server.port}`]);
  await hanging.promise;
  process.kill("SIGINT");
  expect((await ended).code).toBe(0);
  await server.stop(true);
}, 15_000);
