/** The compose file with two receivers, and both load balancers as processes on loopback: requests go to a ready receiver. */
import { afterEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { programBinary } from "../support/binary.ts";
import { startForeignProgram, statusAt } from "../support/foreign-program.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs, until } from "../support/wait.ts";

interface Compose {
  readonly services: Readonly<Record<string, { readonly environment?: Readonly<Record<string, string>> }>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
}

const folder = resolve(import.meta.dirname, "../../contrib/cluster");
const compose = parse(readFileSync(join(folder, "compose.yaml"), "utf8"), { merge: true }) as Compose;
const fileOf = (name: string): string => readFileSync(join(folder, compose.configs[name]?.file ?? ""), "utf8");

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Starts a receiver; the health checks use its admin port. */
async function startReceiver(endpoint: string, port: number, adminPort: number): Promise<RunningProgram> {
  const command = [programBinary()];
  const directory = temporaryDirectory();
  const program = await startProgram({ command, directory, endpoint, encoding: "protobuf", port, adminPort });
  cleanups.push(() => program.kill());
  return program;
}

function send(port: number, n: number): Promise<number> {
  const body = JSON.stringify({ time: 1, event: { n } });
  const headers = { authorization: "Splunk test-token" };
  return fetch(`http://127.0.0.1:${port}/services/collector/event`, { method: "POST", headers, body }).then(
    ({ status }) => status,
  );
}

describe("the compose file with two receivers", () => {
  test("names files that exist, and gives both receivers the same settings", () => {
    for (const { file } of Object.values(compose.configs)) expect(existsSync(join(folder, file)), file).toBe(true);
    const [first, second] = ["receiver-1", "receiver-2"].map((name) => compose.services[name]?.environment);
    expect(first).toEqual(second as Record<string, string>);
    expect(first?.["TS2OTEL_STATE__URL"]).toStartWith("postgres://");
  });

  for (const [name, configOf] of [
    ["haproxy", haproxyWith],
    ["caddy", caddyWith],
  ] as const)
    test.skipIf(Bun.which(name) === null)(
      `${name} balances requests of one sender, and continues without a receiver that has died`,
      async () => {
        const sink = await startOtlpSink();
        cleanups.push(() => sink.stop());
        const ports = await Promise.all(Array.from({ length: 5 }, freePort));
        const [balancer = 0, first = 0, second = 0, firstAdmin = 0, secondAdmin = 0] = ports;
        const receiver = await startReceiver(sink.url, first, firstAdmin);
        const other = await startReceiver(sink.url, second, secondAdmin);
        const directory = mkdtempSync(join(tmpdir(), `${name}-`));
        const command = configOf({
          directory,
          balancer,
          receivers: [first, second],
          admins: [firstAdmin, secondAdmin],
        });
        const health = `http://127.0.0.1:${balancer}/services/collector/health`;
        const running = await startForeignProgram(command, directory, async () => (await statusAt(health)) === 200);
        cleanups.push(() => running.stop());
        const received = async ({ admin }: RunningProgram): Promise<number> =>
          ((await (await fetch(`${admin}/api/v1/status`)).json()) as { conservation: { received: number } })
            .conservation.received;
        // The path of a named tailnet reaches a receiver, which answers 404 itself because it serves only one tailnet.
        const named = await fetch(`http://127.0.0.1:${balancer}/acme/services/collector/event`, { method: "POST" });
        expect(await named.json()).toMatchObject({ text: "Not found" });
        let n = 0;
        await until(async () => {
          expect(await send(balancer, n++)).toBe(200);
          return (await received(receiver)) > 0 && (await received(other)) > 0;
        });
        await receiver.kill();
        // A request on a connection that has just died may fail once; Tailscale retries it.
        await until(async () => {
          for (let more = 0; more < 10; more++) if ((await send(balancer, n++)) !== 200) return false;
          return true;
        });
      },
      timeoutMs,
    );
});

interface Addresses {
  readonly directory: string;
  readonly balancer: number;
  readonly receivers: readonly [number, number];
  readonly admins: readonly [number, number];
}

function haproxyWith({ directory, balancer, receivers, admins }: Addresses): readonly string[] {
  let text = fileOf("haproxy").replace("bind :8088", `bind 127.0.0.1:${balancer}`);
  text = text.replace(/^frontend webhook\n(?: .*\n)+/m, "").replace(/^backend webhook\n(?: .*\n)+/m, "");
  for (const [place, port] of receivers.entries()) {
    const name = `receiver-${place + 1}`;
    expect(text).toContain(`server ${name} ${name}:8088`);
    text = text.replace(`${name}:8088`, `127.0.0.1:${port} check port ${admins[place]}`);
  }
  const path = join(directory, "haproxy.cfg");
  writeFileSync(path, text);
  return ["haproxy", "-db", "-f", path];
}

/** Caddy checks the same port of all receivers, which cannot differ on one machine, so it checks the receivers' own health path. */
function caddyWith({ directory, balancer, receivers }: Addresses): readonly string[] {
  const path = join(directory, "Caddyfile");
  const text = fileOf("caddy")
    .replace("health_uri /readyz", "health_uri /services/collector/health")
    .replace(/\thealth_port 9091\n/, "")
    .replace("{$PUBLIC_NAME}", `http://127.0.0.1:${balancer}`)
    .replace("receiver-1:8088", `127.0.0.1:${receivers[0]}`)
    .replace("receiver-2:8088", `127.0.0.1:${receivers[1]}`);
  writeFileSync(path, `{\n\tadmin off\n\tauto_https off\n}\n${text}`);
  const checked = spawnSync("caddy", ["adapt", "--config", path, "--adapter", "caddyfile"], { encoding: "utf8" });
  expect([checked.status, checked.stderr.includes("Error")]).toEqual([0, false]);
  return ["caddy", "run", "--config", path, "--adapter", "caddyfile"];
}
