/** How commands find the running instance: by a file in its state directory, from any folder and without its variables. */
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { expect, test } from "bun:test";
import type { InstanceRecord } from "../../src/admin/instance-file.ts";
import { freePort } from "../support/port.ts";
import { until } from "../support/wait.ts";
import { type Program, runToEnd, start, temporaryDirectory } from "./program.ts";

const variables = {
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
  TS2OTEL_STREAMING__TOKEN: "a-token",
  TS2OTEL_ADMIN__TOKEN: "the-admin-token",
};

/** A home with the state of one user, and another folder that is empty. */
function homeAt(name: string) {
  const home = join(temporaryDirectory(), name);
  const elsewhere = join(home, "elsewhere");
  mkdirSync(elsewhere, { recursive: true });
  // The default state directory and address may be in use on this machine.
  const user = { HOME: home, XDG_STATE_HOME: join(home, "state"), TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0" };
  const file = join(home, "state/tailscale2otel/instance.json");
  const status = (more: Record<string, string> = {}, ...args: string[]) =>
    runToEnd(elsewhere, ["status", ...args], { ...user, ...more });
  const run = (more: Record<string, string> = variables) => start(home, ["run"], { ...user, ...more });
  return { home, file, run, status, record: () => JSON.parse(readFileSync(file, "utf8")) as InstanceRecord };
}

async function end(program: Program, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  program.process.kill(signal);
  await program.ended;
}

test("a command in another folder finds an instance on any port, with its token, and no file remains after a stop", async () => {
  const { home, file, run, status, record } = homeAt("found");
  const program = run();
  await program.line('"ready"');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const { admin, token, pid, startedAt, version } = record();
  expect({ token, pid, version }).toMatchObject({
    token: "the-admin-token",
    pid: program.process.pid,
    version: "0.1.0-dev",
  });
  expect(admin).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(Math.abs(Date.now() - Date.parse(startedAt))).toBeLessThan(60_000);

  const found = await status();
  expect(found.stdout).toContain(`${admin}, state ${join(home, "state/tailscale2otel")}`);
  expect(found).toMatchObject({ code: 0, stderr: "" });
  // Another name of the same address works too.
  expect(await status({}, "--url", admin.replace("127.0.0.1", "localhost"))).toMatchObject({ code: 0 });

  await end(program, "SIGTERM");
  expect(statSync(file, { throwIfNoEntry: false })).toBeUndefined();
  const after = await status();
  expect(after.stdout).toContain("not running");
  expect(after.stderr).toBe("");
}, 60_000);

test("the file has the new token after a reload", async () => {
  const { home, run, status, record } = homeAt("reloaded");
  const { TS2OTEL_ADMIN__TOKEN: _, ...others } = variables;
  const config = join(home, "tailscale2otel.toml");
  writeFileSync(config, 'admin.token = "first"', { mode: 0o600 });
  const program = run(others);
  await program.line('"ready"');
  expect(record().token).toBe("first");
  writeFileSync(config, 'admin.token = "second"');
  program.process.kill("SIGHUP");
  await program.line("configuration reloaded");
  await until(() => record().token === "second");
  expect(await status()).toMatchObject({ code: 0 });
  await end(program, "SIGTERM");
}, 60_000);

test("the file of a killed instance is ignored with a message, and its token is not sent", async () => {
  const { file, run, status, record } = homeAt("killed");
  const program = run();
  await program.line('"ready"');
  const { admin } = record();
  await end(program, "SIGKILL");
  const seen: unknown[] = [];
  const other = createServer(({ headers }, answer) => {
    seen.push(headers.authorization);
    answer.end();
  }).listen(Number(new URL(admin).port), "127.0.0.1");
  const { stdout, stderr } = await status();
  other.close();
  expect(seen).toEqual([]);
  expect(stderr).toBe(`ignoring ${file}: the instance that wrote it (pid ${program.process.pid}) has ended\n`);
  expect(stdout).toContain("not running");

  // The next start replaces it.
  const next = run();
  await next.line('"ready"');
  expect(record().pid).toBe(next.process.pid ?? 0);
  expect(await status()).toMatchObject({ code: 0, stderr: "" });
  await end(next, "SIGTERM");
}, 60_000);

test("the configured token is not sent to another program at the configured address while no instance runs", async () => {
  const { home, run, status } = homeAt("stranger");
  const listen = `127.0.0.1:${await freePort()}`;
  const config = join(home, "tailscale2otel.toml");
  writeFileSync(config, `[admin]\nlisten = "${listen}"\ntoken = "the-admin-token"\n`, { mode: 0o600 });
  const { TS2OTEL_ADMIN__TOKEN: _, ...others } = variables;
  const args = ["--config", config];
  const unnamed = { TS2OTEL_ADMIN__LISTEN: "" };
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const program = run({ ...others, ...unnamed });
    await program.line('"ready"');
    expect(await status(unnamed, ...args)).toMatchObject({ code: 0, stderr: "" });
    await end(program, signal);
    const seen: unknown[] = [];
    const stranger = createServer(({ headers }, answer) => {
      seen.push(headers.authorization);
      answer.end();
    }).listen(Number(listen.split(":")[1]), "127.0.0.1");
    expect((await status(unnamed, ...args)).stdout).toContain("not running: no instance is using");
    const { code, stderr } = await runToEnd(home, ["tail", ...args], {
      HOME: home,
      XDG_STATE_HOME: join(home, "state"),
    });
    expect(stderr).toContain("Start the instance, or give the address of another one with --url.");
    expect([code, seen]).toEqual([1, []]);
    await new Promise((resolve) => stranger.close(resolve));
  }
}, 60_000);

test.if(process.getuid?.() === 0)(
  "root finds the instance of another user, whose lock it cannot see",
  async () => {
    const { file, run, status } = homeAt("foreign");
    const program = run();
    await program.line('"ready"');
    chownSync(dirname(file), 65_534, 65_534);
    expect(await status()).toMatchObject({ code: 0, stderr: "" });
    chownSync(dirname(file), 0, 0);
    await end(program, "SIGKILL");
    chownSync(dirname(file), 65_534, 65_534);
    expect((await status()).stderr).toStartWith(`ignoring ${file}: the instance that wrote it`);
  },
  60_000,
);

test("an address given by flag or variable wins, but the file wins over a configured address", async () => {
  const { home, run, status } = homeAt("two");
  const program = run();
  await program.line('"ready"');
  const other = createServer((_, answer) => answer.end("hello")).listen(0, "127.0.0.1");
  const listen = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  writeFileSync(join(home, "elsewhere/tailscale2otel.toml"), `admin.listen = "${listen}"`);
  expect(await status()).toMatchObject({ code: 0 });
  expect((await status({ TS2OTEL_ADMIN__LISTEN: listen })).stderr).toContain(`${listen} is not an admin listener`);
  other.close();
  const nobody = `http://127.0.0.1:${await freePort()}`;
  expect((await status({}, "--url", nobody)).stderr).toContain("no instance answers (connection refused");
  await end(program, "SIGTERM");
}, 60_000);

test("a damaged file is treated as missing", async () => {
  const { file, status } = homeAt("damaged");
  mkdirSync(join(file, ".."), { recursive: true, mode: 0o700 });
  for (const text of ["", "{", "null", '{"pid":1,"admin":"file:///etc/passwd"}', '{"admin":"http://127.0.0.1:1"}']) {
    writeFileSync(file, text);
    const { code, stderr } = await status({ TS2OTEL_ADMIN__LISTEN: `127.0.0.1:${await freePort()}` });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no journal in") });
    expect(stderr).not.toContain("ignoring");
  }
}, 60_000);
