import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { checkCommand } from "../../src/cli/check.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();

const sound = {
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__TOKEN: "s3cr3t",
  TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
  TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
  TS2OTEL_OTLP__ENDPOINT: "http://192.0.2.1:4318",
};

test("shows every value with its origin, and no secret", async () => {
  const { code, stdout, stderr } = await runToEnd(directory, ["check", "--set", "log_level=warn"], sound);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^log_level +"warn" +--set log_level$/m);
  expect(stdout).toMatch(/^streaming\.token +\[redacted\] +TS2OTEL_STREAMING__TOKEN$/m);
  expect(stdout).toMatch(/^streaming\.listen +":8088" +default$/m);
  expect(stdout).toMatch(/^otlp\.endpoint +"http:\/\/192\.0\.2\.1:4318" +TS2OTEL_OTLP__ENDPOINT$/m);
  expect(stdout).toEndWith("\nconfiguration (no file): valid, 0 problems, 0 warnings\n");
  expect(stdout).not.toContain("s3cr3t");
  expect(stdout).not.toContain("\u001b");
});

describe("a file with five mistakes", () => {
  const path = join(directory, "five.toml");
  writeFileSync(
    path,
    `[streaming]
enabled = "yes"
listn = ":8088"
request_timeout = 30
[otlp]
protocol = "grpc"
[state]
max_bytes = "1 MiB"
`,
  );

  test("shows five, each with its line and remedy", async () => {
    const { code, stdout } = await runToEnd(directory, ["check", "--config", path], {
      TS2OTEL_STREAMING__TOKN: "s3cr3t",
    });
    const errors = stdout.split("\n").filter((line) => line.startsWith("error: "));
    expect(errors.map((line) => line.slice(`error: ${path}:`.length).split(":")[0])).toEqual(["2", "3", "4", "6", "8"]);
    expect(errors[0]).toEndWith("for example enabled = true.");
    expect(errors[1]).toEndWith("Did you mean streaming.listen?");
    expect(errors[2]).toEndWith('for example request_timeout = "30s".');
    expect(errors[3]).toContain('Use "http/protobuf", "http/json" or "stdout",');
    expect(errors[4]).toContain("of at least 32MiB");
    expect(stdout).toContain(
      "warning: TS2OTEL_STREAMING__TOKN: no setting has this variable, so it has no effect. Did you mean TS2OTEL_STREAMING__TOKEN?",
    );
    expect(stdout).toEndWith(`${path}: not valid, 5 problems, 1 warning\n`);
    expect(stdout).not.toContain("s3cr3t");
    expect(code).toBe(78);
  });

  test("is one object with --json", async () => {
    const { code, stdout } = await runToEnd(directory, ["check", "--json", "--config", path]);
    const report: unknown = JSON.parse(stdout);
    expect(report).toMatchObject({ valid: false, configFile: path, warnings: [] });
    expect(report).toHaveProperty("problems.length", 5);
    expect(report).toHaveProperty("problems.2", {
      where: `${path}:4`,
      key: "streaming.request_timeout",
      message: "invalid duration 30",
      remedy: 'Use a duration from 100ms to 1h, for example request_timeout = "30s".',
    });
    expect(code).toBe(78);
  });

  test("stops run with the same lines, warnings first", async () => {
    const { code, stdout, stderr } = await runToEnd(directory, ["run", "--config", path], { TS2OTEL_CONFG: "x" });
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(6);
    expect(lines[0]).toStartWith("tailscale2otel: warning: TS2OTEL_CONFG: ");
    expect(lines[0]).toEndWith("Did you mean TS2OTEL_CONFIG?");
    expect(lines[1]).toStartWith(`tailscale2otel: ${path}:2: streaming.enabled: invalid boolean "yes".`);
    expect(stdout).toBe("");
    expect(code).toBe(78);
  });
});

test("--changed shows only settings that differ from the defaults", async () => {
  const { stdout, code } = await runToEnd(directory, ["check", "--changed"], sound);
  const keys = stdout.split("\n").flatMap((line) => /^([a-z_.]+) {2}/.exec(line)?.[1] ?? []);
  expect(keys).toEqual([
    "collectors.flowlogs.source",
    "collectors.auditlogs.source",
    "streaming.enabled",
    "streaming.token",
    "otlp.endpoint",
  ]);
  expect(code).toBe(0);
});

test("--tailnet without --online is refused, not ignored", async () => {
  const { code, stderr } = await runToEnd(directory, ["check", "--tailnet", "acme"], sound);
  expect([code, stderr]).toEqual([64, expect.stringContaining("--tailnet goes with --online")]);
});

test("--strict fails on a warning", async () => {
  const warned = { ...sound, TS2OTEL_CONFG: "x" };
  expect((await runToEnd(directory, ["check"], warned)).code).toBe(0);
  expect((await runToEnd(directory, ["check", "--strict"], warned)).code).toBe(78);
  expect((await runToEnd(directory, ["check", "--strict"], sound)).code).toBe(0);
});

test("refuses a state directory that run would refuse", async () => {
  writeFileSync(join(directory, "a-file"), "");
  const path = join(directory, "a-file", "state");
  const { stdout, code } = await runToEnd(directory, ["check", "--set", `state.path=${path}`], sound);
  expect(stdout).toContain("error: --set state.path: cannot use the state directory: ");
  expect(stdout).toContain(" is not a directory");
  expect(code).toBe(78);
  const run = await runToEnd(directory, ["run", "--set", `state.path=${path}`], sound);
  const reason = run.stderr.trimEnd().split("\n").at(-1)?.replace("tailscale2otel: ", "") ?? "";
  expect(reason).toStartWith("--set state.path: cannot use the state directory: ");
  expect(stdout).toContain(`error: ${reason}`);
  expect(run.code).toBe(78);
});

test("shows values despite a problem, and marks the invalid one", async () => {
  const { stdout, code } = await runToEnd(directory, ["check", "--set", "otlp.timeout=soon"], sound);
  expect(stdout).toMatch(/^streaming\.enabled +true +TS2OTEL_STREAMING__ENABLED$/m);
  expect(stdout).toMatch(/^otlp\.timeout +\(invalid\) +see below$/m);
  expect(code).toBe(78);
});

test("run says how to start if nothing is enabled", async () => {
  const { code, stderr } = await runToEnd(directory, ["run"]);
  expect(stderr).toStartWith(
    "tailscale2otel: streaming.enabled: there is nothing to receive or poll. Run tailscale2otel init, ",
  );
  expect(code).toBe(78);
});

test("dims defaults and colors problems on a terminal", async () => {
  let text = "";
  const out = { isTerminal: true, hasColor: true, write: async (part: string) => void (text += part) };
  const host = {
    environment: { ...sound, TS2OTEL_CONFG: "x" },
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: directory },
    out,
    err: out,
    workerEntry: new URL(import.meta.url),
    ask: async () => undefined,
    isInteractive: true,
    exit: () => {
      throw new Error("exit");
    },
  };
  expect(await checkCommand.run([], host)).toBe(0);
  const dimmed = text.split("\n").filter((line) => line.startsWith("\u001b[90m") && line.endsWith("default\u001b[39m"));
  expect(dimmed.some((line) => line.includes("streaming.listen "))).toBe(true);
  expect(text).toMatch(/^streaming\.enabled /m);
  expect(text).toContain("\u001b[33mwarning\u001b[39m: TS2OTEL_CONFG");
  expect(text).toEndWith("\u001b[32mvalid\u001b[39m, 0 problems, 1 warning\n");
});
