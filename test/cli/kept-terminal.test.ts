/** What was kept, on a terminal: tables and sentences instead of JSON. */
import { join } from "node:path";
import { expect, test } from "bun:test";
import type { Command } from "../../src/cli/command.ts";
import { readFlags } from "../../src/cli/flags.ts";
import {
  quarantineListCommand,
  quarantinePurgeCommand,
  quarantineRetryCommand,
  quarantineShowCommand,
} from "../../src/cli/quarantine.ts";
import { replayCommand } from "../../src/cli/replay.ts";
import type { Host, Output } from "../../src/cli/terminal.ts";
import { fillHours, itemOf, numberedFlow, openState, setAside } from "../support/kept-state.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { configure, startKept } from "./kept-program.ts";
import { temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();

/** Runs a command in this process, on what it takes for a terminal. */
async function onTerminal(directory: string, command: Command, ...argv: string[]) {
  let text = "";
  const out: Output = {
    isTerminal: true,
    hasColour: false,
    write: async (written) => {
      text += written;
    },
  };
  const host: Host = {
    environment: { TS2OTEL_STATE__PATH: join(directory, "state") },
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: directory, isRoot: false },
    out,
    err: out,
    workerEntry: new URL("file:///none"),
    ask: async () => undefined,
    exit: () => {
      throw new Error("ended");
    },
  };
  const code = await command.run(readFlags(command, argv), host);
  return { code, text };
}

test("a list is a table with the counts below, and an item its members and its text", async () => {
  const directory = configure(parent, "list", "");
  const journal = openState(join(directory, "state"));
  setAside(journal, [
    itemOf({ class: "sample", type: "unknown", reason: "unclassified", detail: "no known kind of record", text: "{}" }),
    itemOf({ detail: `long ${"x".repeat(100)}`, text: 'escape \u001b[31m "and"\nlines' }),
  ]);
  journal.close();
  expect((await onTerminal(directory, quarantineListCommand)).text).toMatchInlineSnapshot(`
    "id  class        type     reason        at                        source  detail
    2   dead_letter  flow     rejected      2026-11-02T09:15:00.000Z  stream  long xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    1   sample       unknown  unclassified  2026-11-02T09:15:00.000Z  stream  no known kind of record

    sample 1 (unclassified 1); dead_letter 1 (rejected 1)
    "
  `);
  expect((await onTerminal(directory, quarantineShowCommand, "2")).text).toMatchInlineSnapshot(`
    "id      2
    class   dead_letter
    type    flow
    source  stream
    at      2026-11-02T09:15:00.000Z
    reason  rejected
    detail  long xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    seq     1

    escape ?[31m "and"
    lines
    "
  `);
  expect((await onTerminal(directory, quarantineRetryCommand, "1", "2")).text).toMatchInlineSnapshot(`
    "1 stays: a sample is a value of an unknown kind: it can be looked at, and was counted as skipped
    0 accepted, 0 known already, 1 stay
    1 dead letter to be sent by the next run
    "
  `);
  expect((await onTerminal(directory, quarantinePurgeCommand, "1", "2")).text).toMatchInlineSnapshot(`
    "1 item deleted; 1 dead letter kept (--yes deletes dead letters too)
    "
  `);
  expect((await onTerminal(directory, quarantinePurgeCommand, "2", "-y")).text).toBe("1 item deleted\n");
  expect((await onTerminal(directory, quarantineListCommand)).text).toBe("nothing is set aside\n");
});

test("a replay shows how far it has come, in one line, and its result", async () => {
  const sink = await startOtlpSink();
  const directory = configure(parent, "replay", sink.url);
  const journal = openState(join(directory, "state"));
  await fillHours(journal, { hours: 1, rows: 40, recordsPerRow: 1, now: Date.now() });
  setAside(journal, [itemOf({ text: JSON.stringify({ event: numberedFlow(1) }) })]);
  journal.close();
  const running = await startKept(directory);
  await sink.until(({ logs }) => logs.length === 40);
  await running.program.line('"ready"');
  const url = ["--url", running.admin, "--set", "admin.token=admin-token"];
  for (;;) {
    const { text } = await onTerminal(directory, replayCommand, "--since", "2h", ...url).catch(() => ({ text: "" }));
    if (!text.includes("40 of 40")) continue;
    const lines = text.split("\r\u001b[2K");
    expect(lines.length).toBeGreaterThan(2);
    expect(lines[1]).toMatch(/^replay of \S+ to \S+: under way, 0 of 40 records \(0 %\)$/);
    expect(lines.at(-1)).toMatch(/^replay of \S+ to \S+: ended, 40 of 40 records \(100 %\)\n$/);
    break;
  }
  const { text } = await onTerminal(directory, quarantineRetryCommand, "--class", "dead_letter", ...url);
  expect(text).toBe("0 accepted, 0 known already, 0 stay\n1 dead letter on the way; status shows how far\n");
  await running.stop();
  await sink.stop();
}, 30_000);
