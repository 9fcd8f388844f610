import { connect } from "node:net";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { freePort } from "../support/port.ts";
import { connection } from "../support/records.ts";
import { configAt, numberedFlow, openStore, take } from "../support/store.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { runToEnd, start, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();
const file = join(directory, "tailscale2otel.toml");

function settings(more = ""): string {
  return `${more}
[streaming]
enabled = true
listen = "127.0.0.1:0"
token = "a-token"
[collectors]
flowlogs.source = "stream"
auditlogs.source = "stream"
[state]
path = "state"
`;
}

test("logs when it has stopped, and why", async () => {
  writeFileSync(file, settings(), { mode: 0o600 });
  const program = start(directory, []);
  await program.line('"ready"');
  program.process.kill("SIGINT");
  const { code, stderr } = await program.ended;
  const lines = stderr.trimEnd().split("\n").slice(-2);
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { message: "stopping", reason: "SIGINT" },
    { message: "stopped" },
  ]);
  expect(code).toBe(0);
});

describe("logs after ready", () => {
  /** Starts with these settings and returns the logged lines by message. */
  async function linesWith(name: string, args: readonly string[], more = "", until = '"keeping state"') {
    const own = join(directory, name);
    mkdirSync(own);
    writeFileSync(join(own, "tailscale2otel.toml"), settings(more), { mode: 0o600 });
    const program = start(own, ["run", ...args.flatMap((one) => ["--set", one])]);
    await program.line(until);
    program.process.kill("SIGINT");
    const { stderr } = await program.ended;
    const lines = stderr.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as LogLine] : []));
    return (message: string) => lines.filter((line) => line.message === message);
  }

  interface LogLine {
    readonly message: string;
  }

  test("that it listens on all interfaces, sends nothing in local mode, and where its state is", async () => {
    const lines = await linesWith("local", ["streaming.listen=:0", "admin.listen=127.0.0.1:0"]);
    const ready = lines("ready");
    expect(ready).toMatchObject([
      {
        stream: expect.stringMatching(/^http on all interfaces, port \d+$/),
        admin: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      },
    ]);
    expect(ready[0]).not.toHaveProperty("poll");
    expect(lines("exporting")).toEqual([]);
    expect(lines("nothing is exported")).toMatchObject([{ why: "otlp.endpoint is not set (local mode)" }]);
    expect(lines("keeping state")).toMatchObject([{ in: join(directory, "local/state") }]);
  });

  test("where each signal goes, without the secrets in its address", async () => {
    const credentials = ["tailscale.auth.oauth.client_id=x", "tailscale.auth.oauth.client_secret=y"];
    const lines = await linesWith("signals", [
      ...credentials,
      "tailscale.base_url=http://127.0.0.1:1",
      "collectors.flowlogs.source=both",
      "streaming.listen=0.0.0.0:0",
      "otlp.logs.endpoint=http://me:secret@127.0.0.1:1/logs?key=secret",
      "otlp.metrics.enabled=false",
      "otlp.also.0.name=archive",
      "otlp.also.0.endpoint=http://127.0.0.1:2",
      "state.path=:memory:",
    ]);
    const logs = "http://[redacted]@127.0.0.1:1/logs?[redacted]";
    expect(lines("ready")).toMatchObject([
      { stream: expect.stringMatching(/^http on all IPv4 interfaces, port \d+$/), poll: "flow" },
    ]);
    expect(lines("exporting")).toMatchObject([
      { logs, metrics: "not exported" },
      { to: "http://127.0.0.1:2", destination: "archive" },
    ]);
    expect(lines("keeping state")).toMatchObject([{ in: "memory" }]);
  });

  test("the first record and the first delivery of each signal once, without waiting for the metric interval", async () => {
    const sink = await startOtlpSink();
    const own = join(directory, "firsts");
    mkdirSync(own);
    writeFileSync(join(own, "tailscale2otel.toml"), settings(), { mode: 0o600 });
    const program = start(own, ["run", "--set", `otlp.endpoint=${sink.url}`]);
    const { stream } = JSON.parse(await program.line('"ready"')) as { stream: string };
    const send = () =>
      runToEnd(own, ["send", "hec", "--url", `${stream}/services/collector/event`], {
        TS2OTEL_STREAMING__TOKEN: "a-token",
      });
    expect(await send()).toMatchObject({ code: 0 });
    await sink.until(({ points }) => points.some(({ metric }) => metric === "tailscale.network.io.rollup"));
    expect(await send()).toMatchObject({ code: 0 });
    await sink.until(({ logs }) => logs.length === 4);
    await program.line('"signal":"metrics"');
    program.process.kill("SIGTERM");
    const { stderr } = await program.ended;
    await sink.stop();
    const firsts = stderr.split("\n").flatMap((line) => (line.includes('"first ') ? [JSON.parse(line) as object] : []));
    expect(firsts).toHaveLength(3);
    expect(firsts).toMatchObject([
      { message: "first record from stream", type: "flow" },
      { message: "first delivery", signal: "logs", to: `${sink.url}/v1/logs` },
      { message: "first delivery", signal: "metrics", to: `${sink.url}/v1/metrics` },
    ]);
  }, 60_000);
});

test("logs at a stop what the backend did not accept", async () => {
  const own = join(directory, "dead-backend");
  const store = await openStore(configAt(join(own, "state")));
  await take(store, [numberedFlow(1), numberedFlow(2)], Date.now());
  store.close();
  writeFileSync(join(own, "tailscale2otel.toml"), settings(), { mode: 0o600 });
  const program = start(own, ["run", "--set", `otlp.endpoint=http://127.0.0.1:${await freePort()}`]);
  await program.line("log export failing; retrying");
  await program.line("metric export failing; retrying");
  program.process.kill("SIGINT");
  const { code, stderr } = await program.ended;
  const messages = stderr.slice(stderr.indexOf('"stopping"'));
  expect(messages).not.toContain("retrying");
  expect(messages.match(/the last export of metrics failed; the next start sends the counters/g)).toHaveLength(1);
  expect(JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ message: "stopped", pending: 2 });
  expect(code).toBe(0);
}, 120_000);

test("is ready before the counters are restored from a long journal", async () => {
  const own = join(directory, "long-journal");
  const store = await openStore(configAt(join(own, "state")));
  const flows = Array.from({ length: 600 }, (_, number) => ({
    ...numberedFlow(number),
    virtualTraffic: Array.from({ length: 200 }, (__, entry) => connection({ txBytes: number * 200 + entry })),
  }));
  await take(store, flows, Date.now());
  store.close();
  writeFileSync(join(own, "tailscale2otel.toml"), settings(), { mode: 0o600 });
  const program = start(own, ["run"]);
  await program.line('"counters restored"');
  program.process.kill("SIGINT");
  const { stderr } = await program.ended;
  expect(stderr.indexOf('"ready"')).toBeGreaterThan(0);
  expect(stderr.indexOf('"ready"')).toBeLessThan(stderr.indexOf('"counters restored"'));
}, 60_000);

test("says what to do if its state directory was removed", async () => {
  const own = join(directory, "removed");
  mkdirSync(own);
  writeFileSync(join(own, "tailscale2otel.toml"), settings(), { mode: 0o600 });
  const program = start(own, ["run"]);
  await program.line('"ready"');
  rmSync(join(own, "state"), { recursive: true });
  program.process.kill("SIGINT");
  const { stderr } = await program.ended;
  expect(stderr).toContain("no more records are accepted. Stop the other process, then restart this one");
  expect(stderr).toContain("the next start restores what the journal still holds");
  expect(stderr).not.toContain("Unavailable");
}, 120_000);

test("runs until a signal, reloads the log level on SIGHUP, and exits with 0", async () => {
  writeFileSync(file, settings(), { mode: 0o600 });
  const program = start(directory, []);
  expect(JSON.parse(await program.line('"ready"'))).toMatchObject({
    level: "info",
    version: "0.1.0-dev",
    stream: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  });
  const [warning] = (await program.line('"warn"')).split("\n");
  expect(warning).toContain("(local mode)");

  writeFileSync(file, settings('log_level = "error"').replace("127.0.0.1:0", "127.0.0.1:1"));
  program.process.kill("SIGHUP");
  expect(JSON.parse(await program.line("configuration reloaded"))).toMatchObject({ log_level: "error" });
  expect(await program.line("restart to apply")).toContain("restart to apply: streaming.listen");

  writeFileSync(file, "log_level = 1");
  program.process.kill("SIGHUP");
  expect(await program.line("not reloaded")).toContain("tailscale2otel.toml:1: log_level: invalid value 1.");

  program.process.kill("SIGTERM");
  const { code, stdout, stderr } = await program.ended;
  expect(stderr.trimEnd().split("\n").at(-1)).toContain("not reloaded");
  expect(stdout).toBe("");
  expect(code).toBe(0);
});

test("a second signal ends it at once, even while a request is being received", async () => {
  writeFileSync(file, settings(), { mode: 0o600 });
  const program = start(directory, ["run"]);
  const { stream } = JSON.parse(await program.line('"ready"')) as { stream: string };
  const { port } = new URL(stream);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  const head = `POST /services/collector/event HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Splunk a-token\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n{`;
  const continued = new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.write(head);
  await continued;
  program.process.kill("SIGINT");
  await program.line('"stopping"');
  program.process.kill("SIGTERM");
  const { code } = await program.ended;
  socket.destroy();
  expect(code).toBe(143);
});

describe("SIGHUP, which a terminal sends when it is closed,", () => {
  /** Sends SIGHUP, stops the program if it reloads instead of ending, and returns its exit code and output. */
  async function hangUp(
    environment: Record<string, string>,
  ): Promise<{ readonly code: number; readonly text: string }> {
    let text = "";
    const seen = new Map<string, () => void>();
    const until = (words: string) => new Promise<void>((resolve) => seen.set(words, resolve));
    const program = Bun.spawn([process.execPath, join(import.meta.dirname, "../../src/main.ts"), "run"], {
      cwd: directory,
      env: { PATH: process.env["PATH"], HOME: directory, ...receiving, ...environment },
      terminal: {
        cols: 80,
        rows: 24,
        data(_, bytes) {
          text += Buffer.from(bytes).toString();
          for (const [words, resolve] of seen) if (text.includes(words)) resolve();
        },
      },
    });
    await until(" ready ");
    program.kill("SIGHUP");
    await Promise.race([until("configuration reloaded"), program.exited]);
    program.kill("SIGTERM");
    return { code: await program.exited, text };
  }

  const receiving = {
    TS2OTEL_STREAMING__ENABLED: "true",
    TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
    TS2OTEL_STREAMING__TOKEN: "a-token",
    TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0",
    TS2OTEL_STATE__PATH: ":memory:",
    NO_COLOR: "1",
  };

  test("stops a program that was started in a terminal, so that no orphan remains", async () => {
    const { code, text } = await hangUp({});
    expect(text).toContain("stopping reason=SIGHUP");
    expect(text).not.toContain("configuration reloaded");
    expect(code).toBe(0);
  }, 120_000);

  test("reloads a program that runs under a supervisor", async () => {
    const { code, text } = await hangUp({ INVOCATION_ID: "0123" });
    expect(text).toContain("configuration reloaded");
    expect(text).toContain("stopping reason=SIGTERM");
    expect(code).toBe(0);
  }, 120_000);
});
