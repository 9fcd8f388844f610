/** Quarantine and replays on a terminal: tables and sentences instead of JSON. */
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { Command } from "../../src/cli/command.ts";
import type { Host, Output } from "../../src/cli/terminal.ts";
import { quarantineCommands } from "../../src/cli/quarantine.ts";
import { replayCommand } from "../../src/cli/replay.ts";
import { configure, startRunning } from "./running.ts";
import { temporaryDirectory } from "./program.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import {
  configAt,
  fillHours,
  lineOf,
  markOf,
  markRows,
  numberedFlow,
  openStore,
  quarantine,
  take,
} from "../support/store.ts";

const parent = temporaryDirectory();
const [quarantineListCommand, quarantineShowCommand, quarantineRetryCommand, quarantinePurgeCommand] =
  quarantineCommands as readonly [Command, Command, Command, Command];

/** Runs a command in this process with a simulated terminal. */
async function onTerminal(directory: string, command: Command, ...argv: string[]) {
  let text = "";
  const out: Output = {
    isTerminal: true,
    hasColor: false,
    columns: 60,
    write: async (written) => {
      text += written;
    },
  };
  const host: Host = {
    environment: { TS2OTEL_STATE__PATH: join(directory, "state") },
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: directory },
    out,
    err: out,
    isInteractive: true,
    workerEntry: new URL("file:///none"),
    ask: async () => undefined,
    exit: () => {
      throw new Error("ended");
    },
  };
  const code = await command.run(argv, host);
  return { code, text };
}

test("a list is a table with the counts below it, and an item shows its members and texts", async () => {
  const directory = configure(parent, "list", "");
  const store = await openStore(configAt(join(directory, "state")));
  const sample = { type: "unknown", reason: "unclassified", detail: "not a known kind of record" } as const;
  await quarantine(store, "sample", [lineOf({ ...sample, text: 'escape \u001b[31m "and"\nlines' })]);
  await take(store, [numberedFlow(1), numberedFlow(2)], Date.now());
  await markRows(store, [markOf(3, { to: 2, logRecords: 2, message: `long ${"x".repeat(100)}` })]);
  store.close();
  const list = (await onTerminal(directory, quarantineListCommand)).text;
  expect(list).toMatch(/^id {3,}class {8}type {5}reason {8}records {2}at {24}source {2}detail\n/);
  expect(list).toMatch(
    /^m2 {3,}dead_letter {2}flow {5}rejected {6}2 .{7}2026-11-02T09:15:00\.000Z {2}stream {2}long x{75}…$/m,
  );
  expect(list).toMatch(/^2\.0 {2,}sample {7}unknown {2}unclassified {2}1 /m);
  expect(list).toEndWith("\n\nsample 1 (unclassified 1); dead_letter 1 (rejected 1)\n");
  expect((await onTerminal(directory, quarantineShowCommand, "2.0")).text).toMatchInlineSnapshot(`
    "id      2.0
    class   sample
    type    unknown
    source  stream
    at      2026-11-02T09:15:00.000Z
    reason  unclassified
    detail  not a known kind of record
    records 1 (row 2 of the journal, line 0)

    escape ?[31m "and"
    lines
    "
  `);
  const letter = (await onTerminal(directory, quarantineShowCommand, "m2")).text;
  expect(letter).toContain("\nrecords 2 (row 3 of the journal, lines 0 to 1)\n\n");
  expect(letter).toEndWith(`${[1, 2].map((n) => JSON.stringify({ event: numberedFlow(n) })).join("\n")}\n`);
  expect((await onTerminal(directory, quarantineRetryCommand, "2.0", "m2")).text).toMatchInlineSnapshot(`
    "2.0 stays in quarantine: a sample is a value of an unknown kind: it can be looked at, and was counted as skipped
    0 accepted, 0 duplicate, 1 still in quarantine
    2 records queued for export by the next run
    "
  `);
  await expect(onTerminal(directory, replayCommand, "--cancel")).rejects.toThrow("no replay is in progress");
  expect((await onTerminal(directory, quarantinePurgeCommand, "2.0", "m2")).text).toMatchInlineSnapshot(`
    "1 item deleted; 1 dead letter kept (--yes deletes dead letters too)
    "
  `);
});

test("invisible and direction-changing characters are replaced on a terminal", async () => {
  const directory = configure(parent, "bidi", "");
  const store = await openStore(configAt(join(directory, "state")));
  const text = `{"user":"\u202Eecila\u2066\u200B\uFEFF\u00AD\u{E0041}","tab":"\t"}`;
  const detail = "of \u202Eecila\u200B";
  const [id = ""] = await quarantine(store, "invalid", [lineOf({ text, detail })]);
  store.close();
  const shown = (await onTerminal(directory, quarantineShowCommand, id)).text;
  expect(shown).toContain('{"user":"?ecila?????","tab":"\t"}');
  expect(shown).toContain("of ?ecila?");
  expect((await onTerminal(directory, quarantineListCommand)).text).toContain("of ?ecila?");
  const json = (await onTerminal(directory, quarantineShowCommand, id, "--json")).text;
  expect(json).not.toMatch(/\p{Cf}/u);
  expect(JSON.parse(json)).toMatchObject({ texts: [text], detail });
});

test("a replay shows its progress on one line, and then its result", async () => {
  const sink = await startOtlpSink();
  const directory = configure(parent, "replay", sink.url);
  const store = await openStore(configAt(join(directory, "state")));
  await take(store, [numberedFlow(1000)], Date.now() - 10 * 3_600_000);
  await markRows(store, [markOf(1)]);
  await fillHours(store, { hours: 1, rows: 40, recordsPerRow: 1, now: Date.now() });
  store.close();
  const running = await startRunning(directory);
  await sink.until(({ logs }) => logs.length === 40);
  await running.program.line('"ready"');
  const url = ["--url", running.admin, "--set", "admin.token=admin-token"];
  for (;;) {
    const { text } = await onTerminal(directory, replayCommand, "--since", "2h", ...url).catch(() => ({ text: "" }));
    if (!text.includes("40 of 40")) continue;
    const lines = text.split("\r\u001b[2K");
    expect(lines.length).toBeGreaterThan(2);
    expect(lines[1]).toMatch(/^replay of \S+ to \S+: in progress, 0 of 40 records delivered \(0%\)$/);
    expect(lines.at(-1)).toMatch(/^replay of \S+ to \S+: finished, 40 of 40 records delivered \(100%\)\n$/);
    break;
  }
  const { text } = await onTerminal(directory, quarantineRetryCommand, "--class", "dead_letter", ...url);
  expect(text).toBe("1 record queued for export; see tailscale2otel status\n");
  await running.stop();
  await sink.stop();
}, 120_000);

test("help is as wide as the terminal, and does not break commands and flags", async () => {
  const help = await onTerminal(configure(parent, "help", ""), quarantinePurgeCommand, "--help");
  const text = typeof help === "string" ? help : help.text;
  expect(text).toContain(
    "\n  -y, --yes\n      Delete dead letters too. They were accepted and exist\n      nowhere else.\n",
  );
  for (const line of text.split("\n"))
    if (!/^ *(tailscale2otel|--|USAGE)/.test(line)) expect(line.length).toBeLessThanOrEqual(60);
  expect(text).toContain("  tailscale2otel quarantine purge --class sample\n      all samples\n");
});
