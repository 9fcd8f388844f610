/** Tests a new user's first minute with the compiled program: init in a terminal, run, a test record, a second terminal. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { dirname, join } from "node:path";
import { spawn } from "node:child_process";
import { beforeAll, expect, test } from "bun:test";
import { programBinary } from "../support/binary.ts";
import { createAuthority } from "../support/certificates.ts";
import { blocksBelow } from "../support/pages.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { nodeName, startTailscaled } from "../support/tailscaled.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { startInTerminal } from "../support/terminal.ts";
import { startTailnet } from "../support/tailnet/index.ts";
import { timeoutMs, until } from "../support/wait.ts";

const parent = temporaryDirectory();

beforeAll(() => void programBinary(), timeoutMs);

/** An empty home directory, in which the program is also started. */
function newUser(name: string) {
  const home = join(parent, name);
  mkdirSync(home);
  const env = { HOME: home, XDG_STATE_HOME: join(home, "state"), PATH: "/usr/bin:/bin" };
  return {
    home,
    env,
    init: (...flags: string[]) => startInTerminal([programBinary(), "init", ...flags], { cwd: home, env }),
  };
}

function ended(args: readonly string[], cwd: string, env: Readonly<Record<string, string>>) {
  const child = spawn(programBinary(), args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const text = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()));
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, ...text })),
  );
}

/** The arguments of the program in each line, as the README has them. */
function wordsOf(block: string | undefined): string[] {
  const lines = block?.trimEnd().split("\n") ?? [];
  return lines.map((line) => line.replace(/^dist\/tailscale2otel /, ""));
}

test(
  "as the README says: three answers, run, send: the record is at the backend at once, and a second terminal elsewhere sees it",
  async () => {
    const { home, env, init } = newUser("stranger");
    const sink = await startOtlpSink();
    const [, starting, looking] = blocksBelow("README.md", "## Run it");
    expect(wordsOf(starting)).toEqual(["init", "run"]);
    expect(wordsOf(looking)).toEqual(["send hec", "tail"]);
    const asking = init();
    await asking.answer("1. How do the logs get here?", "");
    await asking.answer("2. Where do metrics and logs go?", sink.url);
    await asking.until(`${sink.url}/v1/logs accepts an empty export`);
    await asking.answer("3. How does Tailscale reach this machine?", "");
    await asking.answer("Full name of this machine", nodeName);
    await asking.answer("Public address, or Enter for none:", "");
    await asking.answer("Client ID, or Enter to do it by hand", "");
    expect(await asking.ended).toBe(0);
    const token = /Token: {2}([0-9a-f]{48})\n/.exec(asking.text())?.[1] ?? "";
    expect(readFileSync(join(home, "tailscale2otel.toml"), "utf8")).toContain(`token = "${token}"`);
    // Its directory is not in PATH.
    expect(asking.text()).toContain(`  ${programBinary()} run `);
    expect(asking.text()).toContain(`URL:    http://${nodeName}:8088/services/collector/event`);

    // Random ports, so that tests can run in parallel, and an interval that does not end during the test.
    const changes = ["streaming.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "otlp.metric_interval=24h"];
    const command = [programBinary(), "run", ...changes.flatMap((one) => ["--set", one])];
    const running = startInTerminal(command, { cwd: home, env });
    await running.until(" ready ");
    await running.until(`exporting to=${sink.url} protocol=http/protobuf`);
    await running.until(`keeping state in=${join(home, "state/tailscale2otel")}`);
    const stream = /stream=(\S+)/.exec(running.text())?.[1] ?? "";
    const sent = await ended(["send", "hec", "--url", `${stream}/services/collector/event`], home, env);
    expect(sent).toMatchObject({ code: 0, stdout: expect.stringContaining("200 OK") });
    await running.until("first record from stream");
    await sink.until(({ logs, points }) => logs.length === 2 && points.length > 0);
    await running.until("first delivery");
    await running.until("first delivery");

    const tail = startInTerminal([programBinary(), "tail"], { cwd: home, env });
    await tail.until("tailscale2otel-send.tail1234.ts.net");
    tail.type("\u0003");
    expect(await tail.ended).toBe(0);

    const elsewhere = join(home, "elsewhere");
    mkdirSync(elsewhere);
    expect(await ended(["healthcheck", "--ready"], elsewhere, env)).toMatchObject({ code: 0 });
    const status = await ended(["status", "--json"], elsewhere, env);
    expect(JSON.parse(status.stdout)).toMatchObject({ running: true, conservation: { received: 2, accepted: 2 } });
    running.type("\u0003");
    expect(await running.ended).toBe(0);
    await sink.stop();
  },
  timeoutMs,
);

test(
  "as the page about installing says: variables instead of a file",
  async () => {
    const { home, env } = newUser("variables");
    const [streaming = "", polling = "", starting = ""] = blocksBelow(
      "docs/install.md",
      "## Variables instead of a file",
    );
    const run = (block: string, words: string) => {
      writeFileSync(join(home, "tailscale2otel.env"), block);
      const script = starting.replace("tailscale2otel run", `exec "${programBinary()}" ${words}`);
      return startInTerminal(["/bin/sh", "-ec", script], { cwd: home, env });
    };
    const running = run(streaming, "run --set streaming.listen=127.0.0.1:0 --set admin.listen=127.0.0.1:0");
    await running.until(" ready ");
    running.type("\u0003");
    expect(await running.ended).toBe(0);
    const checked = run(polling, "check");
    expect(await checked.ended).toBe(0);
    expect(checked.text()).toContain("valid, 0 problems, 0 warnings");
  },
  timeoutMs,
);

test(
  "with an OAuth client, init tries every scope, and run sets up streams and webhook without another step",
  async () => {
    const { home, env } = newUser("oauth");
    const tailnet = await startTailnet({ scopes: ["logs:network:read", "logs:configuration:read"] });
    const variables = { ...env, TS2OTEL_TAILSCALE__BASE_URL: tailnet.url, TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1" };
    const flags = ["--source", "both", "--endpoint", "none", "--reach", "https://logs.example.com"];
    const asking = startInTerminal([programBinary(), "init", ...flags], { cwd: home, env: variables });
    await asking.answer("Public address", "https://hooks.example.com");
    for (const scope of [
      "logs:network:read",
      "logs:configuration:read",
      "devices:core:read",
      "log_streaming",
      "webhooks",
    ])
      await asking.until(scope);
    await asking.answer("Client ID:", tailnet.oauth.clientId);
    await asking.answer("not shown):", tailnet.oauth.clientSecret);
    await asking.until("the scope devices:core:read is missing");
    tailnet.grant(["logs:network:read", "logs:configuration:read", "devices:core:read", "log_streaming", "webhooks"]);
    await asking.answer("Or another client ID:", tailnet.oauth.clientId);
    await asking.answer("not shown):", tailnet.oauth.clientSecret);
    await asking.until("run makes Tailscale stream both logs to https://logs.example.com/services/collector/event");
    await asking.until("run creates the webhook for https://hooks.example.com/tailscale/webhook");
    expect(await asking.ended).toBe(0);

    const ports = ["streaming", "webhook", "admin"].flatMap((name) => ["--set", `${name}.listen=127.0.0.1:0`]);
    const running = startInTerminal([programBinary(), "run", ...ports], { cwd: home, env: variables });
    await until(() => tailnet.stream("network") !== undefined && tailnet.stream("configuration") !== undefined);
    await until(() => tailnet.webhooks.length > 0);
    const token = /^token = "(.*)"$/m.exec(readFileSync(join(home, "tailscale2otel.toml"), "utf8"))?.[1] ?? "";
    expect(tailnet.stream("network")).toMatchObject({
      url: "https://logs.example.com/services/collector/event",
      token,
    });
    expect(tailnet.webhooks).toMatchObject([{ url: "https://hooks.example.com/tailscale/webhook" }]);
    running.type("\u0003");
    expect(await running.ended).toBe(0);
    await tailnet.stop();
  },
  timeoutMs,
);

test(
  "Ctrl-C at any question leaves nothing",
  async () => {
    const { home, init } = newUser("interrupted");
    for (const answers of [[], [""], ["", "3"], ["poll", "3", ""], ["poll", "3", "", "kExampleCNTRL"]]) {
      const asking = init();
      for (const [index, words] of answers.entries())
        await asking.answer(["Answer [1]:", "Answer [1]:", "Public address", "Client ID:"][index] ?? "", words);
      await asking.until(
        ["Answer [1]:", "Answer [1]:", "Answer [1]:", "Client ID:", "not shown):"][answers.length] ?? "",
      );
      asking.type("\u0003");
      await asking.until("nothing was written");
      expect(await asking.ended).toBe(130);
    }
    // Also while it waits for a response from another host.
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    const asking = init("--source", "stream", "--reach", "https://logs.example.com");
    await asking.answer("Answer [1]:", `http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    await once(silent, "connection");
    asking.type("\u0003");
    await asking.until("nothing was written");
    expect(await asking.ended).toBe(130);
    silent.close();
    expect(readdirSync(home)).toEqual([]);
  },
  timeoutMs,
);

test(
  "wrong answers are asked again, secrets are not shown, and what is typed ahead is not lost",
  async () => {
    const { home, env } = newUser("clumsy");
    const unreachable = {
      ...env,
      TS2OTEL_TAILSCALE__BASE_URL: "http://127.0.0.1:1",
      TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
    };
    const asking = startInTerminal([programBinary(), "init"], { cwd: home, env: unreachable });
    await asking.answer("Answer [1]:", "push");
    await asking.answer('stream, poll or both, not "push"', "2\rlocalhost:4318\rnone\r");
    await asking.until("it must be an address that begins with http:// or https://");
    await asking.answer("Tick these scopes:", "kExampleCNTRL");
    await asking.answer("Client secret (tskey-client-…, not shown):", "tskey-client-s3cr3t");
    await asking.until("connection refused");
    await asking.answer("Or another client ID:", "");
    expect(await asking.ended).toBe(0);
    expect(asking.text()).not.toContain("s3cr3t");
    expect(readFileSync(join(home, "tailscale2otel.toml"), "utf8")).toContain('client_secret = "tskey-client-s3cr3t"');
    expect(await ended(["check"], home, unreachable)).toMatchObject({ code: 0 });
  },
  timeoutMs,
);

test(
  "tailscaled is asked for the name of this machine and for its certificate",
  async () => {
    const { home, env } = newUser("certificate");
    const socket = join(home, "tailscaled.sock");
    const tailscaled = await startTailscaled(socket, { permits: false });
    const variables = { ...env, TS2OTEL_TAILSCALE__SOCKET: socket };
    const start = (...more: string[]) =>
      startInTerminal([programBinary(), "init", "--source", "stream", "--endpoint", "none", ...more], {
        cwd: home,
        env: variables,
      });
    const refused = start("--output", "refused.toml");
    await refused.until(`https://${nodeName}:8088`);
    await refused.answer("Answer [1]:", "2");
    await refused.until("tailscaled issues no certificates to this user");
    await refused.until("TS_PERMIT_CERT_UID=");
    await refused.answer("Or 1 for plain HTTP.", "1");
    await refused.answer("Public address", "");
    await refused.answer("by hand", "");
    expect(await refused.ended).toBe(0);
    expect(readFileSync(join(home, "refused.toml"), "utf8")).toContain(`public_url = "http://${nodeName}:8088"`);

    Object.assign(tailscaled.state, { permits: true, pair: createAuthority(home).issue("node") });
    variables.PATH = dirname(programBinary());
    const granted = start();
    await granted.answer("Answer [1]:", "2");
    await granted.until(`tailscaled issues the certificate of ${nodeName}`);
    await granted.answer("Public address", "");
    await granted.answer("by hand", "");
    expect(await granted.ended).toBe(0);
    expect(granted.text()).toContain("\n  tailscale2otel run ");
    const file = readFileSync(join(home, "tailscale2otel.toml"), "utf8");
    expect(file).toContain("[streaming.tls]\ntailscale = true\n");
    await tailscaled.stop();
  },
  timeoutMs,
);
