/** Files in settings that block when they are opened: the program refuses them and can still be stopped. */
import { spawnSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { configure } from "./running.ts";
import { runToEnd, start, temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();
const pipe = join(parent, "pipe");
spawnSync("mkfifo", [pipe]);
const directory = configure(parent, "started", "");

test.each([
  [["--config", pipe], {}, "the pipe is empty"],
  [[], { TS2OTEL_CONFIG: pipe }, "it is not a regular file"],
  [["--set", `webhook.secret_file=${pipe}`], {}, "it is not a regular file"],
  [["--set", `streaming.tls.cert_file=${pipe}`], {}, "it is not a regular file"],
  [["--set", `otlp.tls.ca_file=${pipe}`], {}, "it is not a regular file"],
])("a pipe without a writer prevents the start: %j %j", async (args, environment, reason) => {
  const { code, stderr } = await runToEnd(directory, ["run", ...args], environment);
  expect(code).not.toBe(0);
  expect(stderr).toContain(reason);
  expect(stderr).toContain("Name a regular");
});

test("a secret file that becomes a pipe is reported, and the program can still be stopped", async () => {
  const secretFile = join(parent, "secret");
  writeFileSync(secretFile, "a-secret");
  const program = start(directory, ["run", "--set", `webhook.secret_file=${secretFile}`]);
  await program.line('"ready"');
  spawnSync("mkfifo", [`${secretFile}.new`]);
  renameSync(`${secretFile}.new`, secretFile);
  expect(await program.line("it is not a regular file")).toContain(secretFile);
  program.process.kill("SIGTERM");
  expect((await program.ended).code).toBe(0);
});

test("a configuration in a pipe is read to its end at the start", () => {
  const main = join(import.meta.dirname, "../../src/main.ts");
  const script = 'cat tailscale2otel.toml | exec "$0" "$1" check --config /dev/stdin';
  const { status, stdout } = spawnSync("sh", ["-c", script, process.execPath, main], {
    cwd: directory,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: directory },
  });
  expect(status).toBe(0);
  expect(stdout).toContain("/dev/stdin:");
});
