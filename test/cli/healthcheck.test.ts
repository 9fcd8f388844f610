/** `healthcheck` exits with 0 or 1 and prints one line, whatever is wrong, within 3 s. */
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { configure, startRunning } from "./running.ts";

const parent = temporaryDirectory();

test("exits with 0 for a running instance, found by state directory or address, and with 1 once it has stopped", async () => {
  const directory = configure(parent, "healthy", "");
  const running = await startRunning(directory);
  const check = (...args: string[]) => runToEnd(directory, ["healthcheck", ...args]);
  expect(await check()).toEqual({ code: 0, stdout: `ok (${running.admin})\n`, stderr: "" });
  expect(await check("--ready")).toEqual({ code: 0, stdout: `ready (${running.admin})\n`, stderr: "" });
  rmSync(join(directory, "state/instance.json"));
  expect(await check("--url", running.admin)).toMatchObject({ code: 0 });
  const { code, stdout } = await check();
  expect({ code, stdout }).toEqual({
    code: 1,
    stdout: "unhealthy: no admin listener is known: admin.enabled is false, or admin.listen has no fixed port\n",
  });
  await running.stop();
  const { host } = new URL(running.admin);
  expect(await check("--url", running.admin)).toEqual({
    code: 1,
    stdout: `unhealthy: connection refused by ${host}\n`,
    stderr: "",
  });
}, 60_000);

test("exits with 1 if another program answers, nothing answers in time, or the configuration is invalid", async () => {
  const at = (url: string) => runToEnd(parent, ["healthcheck", "--url", url]);
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  expect((await at(`http://127.0.0.1:${other.port}`)).stdout).toBe(
    `unhealthy: http://127.0.0.1:${other.port} is not an admin listener\n`,
  );
  await other.stop();
  const silent = createTcpServer(() => {}).listen(0, "127.0.0.1");
  const { port } = silent.address() as AddressInfo;
  expect(await at(`http://127.0.0.1:${port}`)).toMatchObject({
    code: 1,
    stdout: `unhealthy: timed out waiting for 127.0.0.1:${port}\n`,
  });
  silent.close();
  const wrong = await runToEnd(parent, ["healthcheck", "--set", "admin.listen=nowhere"]);
  expect(wrong).toMatchObject({ code: 1, stdout: expect.stringMatching(/^unhealthy: --set admin\.listen: .*\n$/) });
}, 60_000);

test("says why an instance is not ready", async () => {
  const reasons = ["the journal is full", "stopping"];
  const answer = () => Response.json({ status: "not ready", reasons }, { status: 503 });
  const full = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  const url = `http://127.0.0.1:${full.port}`;
  expect(await runToEnd(parent, ["healthcheck", "--ready", "--url", url])).toEqual({
    code: 1,
    stdout: `unhealthy: not ready: the journal is full; stopping (${url})\n`,
    stderr: "",
  });
  await full.stop();
});
