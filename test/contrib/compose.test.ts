/** The compose file: its settings, and its services except Grafana, started as processes on loopback. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { programBinary } from "../support/binary.ts";
import { buildCollector, canHaveCollector } from "../support/collector-build.ts";
import { curl } from "../support/curl.ts";
import { startForeignProgram, statusAt } from "../support/foreign-program.ts";
import { canHave } from "../support/go-build.ts";
import { startVictoriaLogs } from "../support/logs-backend.ts";
import { startPrometheus } from "../support/metrics-backend.ts";
import { freePort } from "../support/port.ts";
import { prometheusProgram } from "../support/prometheus-build.ts";
import { startProgram } from "../support/running-program.ts";
import { sampleBody } from "../support/sample-body.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { victoriaLogsProgram } from "../support/victorialogs-build.ts";
import { timeoutMs } from "../support/wait.ts";

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
}

interface Service {
  readonly command?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly environment?: Readonly<Record<string, string>>;
}

const folder = resolve(import.meta.dirname, "../../contrib/compose");
const compose = parse(readFileSync(join(folder, "compose.yaml"), "utf8")) as Compose;

const canRun =
  process.env.CI !== undefined || (canHaveCollector() && canHave(prometheusProgram) && canHave(victoriaLogsProgram));

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

describe("the compose file", () => {
  test("names files that exist, and configures each service with one of them", () => {
    for (const { file } of Object.values(compose.configs)) expect(existsSync(join(folder, file)), file).toBe(true);
    for (const { command = [], configs = [] } of Object.values(compose.services)) {
      for (const { source } of configs) expect(compose.configs).toHaveProperty([source]);
      for (const flag of command.filter((word) => /--config(\.file)?=/.test(word)))
        expect(configs.map(({ target }) => target)).toContain(flag.slice(flag.indexOf("=") + 1));
    }
  });

  test("mounts the alert rules where Prometheus looks for them", () => {
    const [main, rules] = compose.services["prometheus"]?.configs ?? [];
    const { rule_files: names } = parse(fileOf("prometheus")) as { rule_files: readonly string[] };
    expect(names.map((name) => join(dirname(main?.target ?? ""), name))).toEqual([rules?.target ?? ""]);
  });

  test.skipIf(!canRun)(
    "delivers the logs of a request to VictoriaLogs and its metrics to Prometheus through the Collector",
    async () => {
      const prometheus = await startPrometheus();
      cleanups.push(() => prometheus.stop());
      const victoriaLogs = await startVictoriaLogs();
      cleanups.push(() => victoriaLogs.stop());
      const collector = await startCollector({
        "0.0.0.0:4318": `127.0.0.1:${await freePort()}`,
        "prometheus:9090": new URL(prometheus.endpoint).host,
        "victorialogs:9428": new URL(victoriaLogs.endpoint).host,
      });
      const { environment = {} } = compose.services["tailscale2otel"] ?? {};
      expect(environment["TS2OTEL_OTLP__ENDPOINT"]).toBe("http://collector:4318");
      const settings = { ...environment, TS2OTEL_STREAMING__TOKEN: "test-token", TS2OTEL_OTLP__ENDPOINT: collector };
      const program = await startProgram({
        command: [programBinary()],
        directory: temporaryDirectory(),
        endpoint: collector,
        encoding: "protobuf",
        settings,
      });
      cleanups.push(() => program.kill());
      expect(curl({ url: program.url, token: program.token, body: Buffer.from(sampleBody) })).toMatchObject({
        status: 200,
      });
      const logs = await victoriaLogs.until("* | fields event_name", (found) => found.length === 30);
      expect(logs).toHaveLength(30);
      await prometheus.until("sum(tailscale_network_flows_total)", ([sum]) => sum?.value === 22);
    },
    timeoutMs,
  );
});

function fileOf(name: string): string {
  return readFileSync(join(folder, compose.configs[name]?.file ?? ""), "utf8");
}

/** Starts the Collector with the compose file's configuration except for addresses, and returns its own address. */
async function startCollector(addresses: Readonly<Record<string, string>>): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "collector-"));
  let text = fileOf("collector");
  for (const [name, address] of Object.entries(addresses)) {
    expect(text).toContain(name);
    text = text.replaceAll(name, address);
  }
  const path = join(directory, "collector.yaml");
  writeFileSync(path, `${text}\n  telemetry: { metrics: { level: none } }\n`);
  const endpoint = `http://${addresses["0.0.0.0:4318"]}`;
  const command = [buildCollector(), "--config", path];
  const running = await startForeignProgram(command, directory, async () => (await statusAt(endpoint)) > 0);
  cleanups.push(() => running.stop());
  return endpoint;
}
