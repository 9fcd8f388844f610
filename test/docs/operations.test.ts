/** The commands for a running instance in the README and the page about operations, run with the compiled program. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Conservation } from "../../src/pipeline/observe.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, refusing, startOtlpSink } from "../support/otlp-sink.ts";
import { blocksBelow, textOf } from "../support/pages.ts";
import { freePort } from "../support/port.ts";
import { badFlow, numberedFlow } from "../support/store.ts";
import { auditValue, enveloped } from "../support/records.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs, until } from "../support/wait.ts";

// This runs before the directory is removed.
afterAll(async () => {
  await sh("systemctl stop tailscale2otel");
  await sink.stop();
});

const page = "docs/operations.md";
const directory = temporaryDirectory();
const bin = join(directory, "bin");
const state = join(directory, "state");
const token = "test-token";
let env: Readonly<Record<string, string>>;
let sink: OtlpSink;
let listen: string;

/** Stand-ins for `sudo` and `systemctl`, which a test must not use; they start and stop the same program. */
const standIns = {
  sudo: 'exec "$@"',
  systemctl: `case "$1" in
  start) tailscale2otel run >>"$HOME/log" 2>&1 & echo $! >"$HOME/pid" ;;
  stop) kill "$(cat "$HOME/pid")"; while kill -0 "$(cat "$HOME/pid")" 2>/dev/null; do sleep 0.05; done ;;
esac`,
};

beforeAll(async () => {
  sink = await startOtlpSink();
  listen = `127.0.0.1:${await freePort()}`;
  mkdirSync(bin);
  mkdirSync(state, { mode: 0o700 });
  mkdirSync(join(directory, "dist"));
  for (const path of ["bin/tailscale2otel", "dist/tailscale2otel"]) symlinkSync(programBinary(), join(directory, path));
  for (const [name, script] of Object.entries(standIns)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  env = {
    PATH: `${bin}:${process.env["PATH"] ?? ""}`,
    HOME: directory,
    TS2OTEL_STATE__PATH: state,
    TS2OTEL_STREAMING__ENABLED: "true",
    TS2OTEL_STREAMING__LISTEN: listen,
    TS2OTEL_STREAMING__TOKEN: token,
    TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
    TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
    TS2OTEL_ADMIN__LISTEN: `127.0.0.1:${await freePort()}`,
    TS2OTEL_OTLP__ENDPOINT: sink.url,
  };
  await sh("systemctl start tailscale2otel");
  await until(async () => (await command("healthcheck --ready")).code === 0);
}, timeoutMs);

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

function sh(script: string): Promise<Ran> {
  return start(script).ended;
}

/** Runs a command that does not end by itself, until it prints something. */
async function untilItPrints(line: string): Promise<Ran> {
  const { child, output, ended } = start(`exec ${line}`);
  await until(() => output() !== "");
  child.kill("SIGINT");
  return ended;
}

function start(script: string) {
  const child = spawn("sh", ["-ec", script], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  const ended = new Promise<Ran>((resolve) => child.on("exit", (code) => resolve({ code, output })));
  return { child, output: () => output, ended };
}

const command = (words: string): Promise<Ran> => sh(`tailscale2otel ${words}`);

const listed = async (itemClass: string): Promise<readonly { readonly id: string }[]> =>
  JSON.parse((await command(`quarantine list --class ${itemClass} --json 2>/dev/null`)).output) as { id: string }[];

async function send(...records: readonly object[]): Promise<void> {
  const body = records.map((record) => JSON.stringify(enveloped(record as never))).join("\n");
  const headers = { authorization: `Splunk ${token}` };
  expect((await fetch(`http://${listen}/services/collector/event`, { method: "POST", headers, body })).status).toBe(
    200,
  );
}

const sums = async (): Promise<Conservation> =>
  (JSON.parse((await command("status --json")).output) as { conservation: Conservation }).conservation;

test(
  "the README's operating commands run",
  async () => {
    const [block = ""] = blocksBelow("README.md", "## Operate it");
    const lines = block.trim().split("\n");
    expect(lines).toHaveLength(5);
    await send(auditValue());
    // The journal records a delivery a moment after the backend has it.
    await until(async () => (await sums()).delivered > 0);
    for (const line of lines) {
      const { code, output } = await (/ (?:top|tail) /.test(line) ? untilItPrints(line) : sh(line));
      expect([line, code, output === "" ? "nothing" : ""]).toEqual([line, 0, ""]);
    }
  },
  timeoutMs,
);

test(
  "quarantined records and dead letters are listed, shown, retried and purged as the page says",
  async () => {
    sink.behave(refusing(({ attributes }) => Number(attributes["destination.port"]) === 4));
    await send(badFlow(1), numberedFlow(4), numberedFlow(5));
    await until(async () => (await listed("dead_letter")).length > 0);
    const [{ id: invalid = "" } = {}] = await listed("invalid");
    const [{ id: deadLetter = "" } = {}] = await listed("dead_letter");
    sink.behave(() => ({ kind: "take" }));
    const [block = ""] = blocksBelow(page, "## Quarantine and dead letters");
    const lines = block.trim().split("\n");
    const expected = [
      [0, invalid],
      [0, '"nodeId"'],
      // A record that is still invalid stays in quarantine.
      [1, "1 record queued for export"],
      [1, "no retry is in progress"],
      [0, ""],
    ] as const;
    expect(lines).toHaveLength(expected.length);
    for (const [index, line] of lines.entries()) {
      const { code, output } = await sh(line.replaceAll(/\b17\.0\b/g, invalid).replaceAll(/ m4\b/g, ` ${deadLetter}`));
      expect([line, code, output]).toEqual([
        line,
        expected[index]?.[0],
        expect.stringContaining(expected[index]?.[1] ?? ""),
      ] as never);
    }
    await until(async () => (await listed("dead_letter")).length === 0);
  },
  timeoutMs,
);

test(
  "a replay sends the logs again, and can be cancelled only while it runs",
  async () => {
    const [block = ""] = blocksBelow(page, "## Replay");
    const [replay = "", cancel = "", ...others] = block.trim().split("\n");
    expect(others).toEqual([]);
    const before = sink.logs.length;
    expect((await sh(replay)).code).toBe(0);
    expect(sink.logs.length).toBeGreaterThan(before);
    expect(await sh(cancel)).toMatchObject({ output: expect.stringContaining("replay") as string });
  },
  timeoutMs,
);

test(
  "a backup is made and restored, with the counters of the backup",
  async () => {
    const blocks = blocksBelow(page, "## Backup and restore").map((block) =>
      block.replaceAll("/var/lib/tailscale2otel", state),
    );
    const [backup = "", restore = "", ...others] = blocks;
    expect(others).toEqual([]);
    const atBackup = (await sums()).received;
    expect((await sh(backup)).code).toBe(0);
    await until(async () => (await command("healthcheck --ready")).code === 0);
    expect(existsSync(join(directory, "tailscale2otel-state.tar.gz"))).toBe(true);
    await send(numberedFlow(6));
    expect((await sums()).received).toBe(atBackup + 1);
    expect((await sh(restore)).code).toBe(0);
    await until(async () => (await command("healthcheck --ready")).code === 0);
    expect((await sums()).received).toBe(atBackup);
    const log = readFileSync(join(directory, "log"), "utf8");
    expect(log).not.toContain("ERROR");
    expect(log).not.toContain("lost");
  },
  timeoutMs,
);

test("the figures for sizing match the measurements", () => {
  const [sizing = ""] = /\n## Sizing\n[^]*?(?=\n## )/.exec(textOf(page)) ?? [];
  const measured = textOf("docs/performance.md");
  const figures = [...sizing.matchAll(/\b[\d.]+ (?:µs|MB)(?= per| idle| at)|\b44\.3\b/g)].map(([figure]) => figure);
  expect(figures.length).toBeGreaterThan(3);
  for (const figure of figures) expect(measured).toContain(figure);
});
