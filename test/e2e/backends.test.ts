/**
 * Tests the pages about backends: every configuration is valid, and with backends available here, a flow reaches the page's own
 * query.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { startCollector } from "../support/collector.ts";
import { canHaveCollector } from "../support/collector-build.ts";
import { curl } from "../support/curl.ts";
import { type ForeignProgram, startForeignProgram, statusAt } from "../support/foreign-program.ts";
import { canHave } from "../support/go-build.ts";
import { startVictoriaLogs } from "../support/logs-backend.ts";
import { startLoki } from "../support/loki.ts";
import { startPrometheus, startVictoriaMetrics } from "../support/metrics-backend.ts";
import { freePort } from "../support/port.ts";
import { prometheusProgram } from "../support/prometheus-build.ts";
import { bytesOf, connection, enveloped, flowValue } from "../support/records.ts";
import { victoriaLogsProgram } from "../support/victorialogs-build.ts";
import { victoriaMetricsProgram } from "../support/victoriametrics-build.ts";
import { timeoutMs, until } from "../support/wait.ts";

const folder = join(import.meta.dirname, "../../docs/backends");
const pages = readdirSync(folder).map((file) => file.replace(/\.md$/, ""));
const sections = ["Configuration", "The first flow", "Limits", "Errors"];

const textOf = (page: string): string => readFileSync(join(folder, `${page}.md`), "utf8");

/** The fenced blocks of a page in that language. */
function blocksOf(page: string, language: string): readonly string[] {
  return [...textOf(page).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(
    ([, block = ""]) => block,
  );
}

let directory: string;
let cleanups: (() => Promise<void> | void)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "backends-test-"));
  cleanups = [() => rmSync(directory, { recursive: true, force: true })];
  for (const secret of ["hec-token", "grafana-token"])
    writeFileSync(join(directory, secret), "test-token", { mode: 0o600 });
});

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

function configurationFile(text: string): string {
  const path = join(directory, "tailscale2otel.toml");
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

describe.each(pages)("the page about %s", (page) => {
  test("has one configuration, which is valid and gives no warning", () => {
    const [configuration = "", ...others] = blocksOf(page, "toml");
    expect(others).toEqual([]);
    const { status, stdout, stderr } = spawnSync(
      programBinary(),
      ["check", "--strict", "--config", configurationFile(configuration)],
      { encoding: "utf8", env: { HOME: directory } },
    );
    expect(stdout + stderr).toContain("valid, 0 problems, 0 warnings");
    expect(status).toBe(0);
  });

  test("says what to set, how to see the first flow, what is known, and what an error means", () => {
    expect([...textOf(page).matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(sections);
  });

  test("is in the overview", () => {
    expect(readFileSync(join(folder, "../backends.md"), "utf8")).toContain(`(backends/${page}.md)`);
  });
});

test("the page about Grafana Cloud has the queries of the backends behind it", () => {
  for (const [language, page] of [
    ["logql", "loki"],
    ["promql", "prometheus"],
  ] as const)
    expect(blocksOf(page, language)).toEqual(expect.arrayContaining([...blocksOf("grafana-cloud", language)]));
});

/**
 * Runs the page's configuration with real addresses in place of the page's, and sends a current flow. Returns the address of
 * the admin listener.
 */
async function run(
  page: string,
  addresses: Readonly<Record<string, string>>,
  changes: readonly string[] = [],
): Promise<string> {
  let [configuration = ""] = blocksOf(page, "toml");
  for (const [written, endpoint] of Object.entries(addresses)) {
    expect(configuration).toContain(written);
    configuration = configuration.replaceAll(written, new URL(endpoint).origin);
  }
  const listen = `127.0.0.1:${await freePort()}`;
  const adminListen = `127.0.0.1:${await freePort()}`;
  const settings = [
    ...changes,
    `streaming.listen=${listen}`,
    `admin.listen=${adminListen}`,
    `state.path=${join(directory, "state")}`,
    "otlp.metric_interval=1s",
  ];
  const command = [programBinary(), "run", "--config", configurationFile(configuration)];
  const base = `http://${listen}/services/collector`;
  const program: ForeignProgram = await startForeignProgram(
    [...command, ...settings.flatMap((setting) => ["--set", setting])],
    join(directory, "unused"),
    async () => (await statusAt(`${base}/health`)) === 200,
  );
  cleanups.push(() => program.stop());
  const [start, end] = [10_000, 5_000].map((ago) => new Date(Date.now() - ago).toISOString());
  const flow = enveloped(flowValue({ start, end, virtualTraffic: [connection()] }), Date.now() / 1000);
  const body = bytesOf(JSON.stringify(flow));
  expect(curl({ url: `${base}/event`, token: "test-token", body })).toMatchObject({ status: 200 });
  return `http://${adminListen}`;
}

/** Resolves when `status` shows an error that the page explains. */
async function untilStatusSays(page: string, error: string, admin: string): Promise<void> {
  expect(textOf(page)).toContain(error);
  const command = ["status", "--url", admin];
  await until(() =>
    spawnSync(programBinary(), command, { encoding: "utf8", env: { HOME: directory } }).stdout.includes(error),
  );
}

const isCi = process.env.CI !== undefined;
const hasVictoria = canHave(victoriaMetricsProgram) && canHave(victoriaLogsProgram);

describe("a flow", () => {
  test.skipIf(!canHave(prometheusProgram) && !isCi)(
    "is found in a real Prometheus, set up as its page says, by the queries of that page",
    async () => {
      const [config = ""] = blocksOf("prometheus", "yaml");
      const prometheus = await startPrometheus({ config });
      cleanups.push(() => prometheus.stop());
      await run("prometheus", { "http://127.0.0.1:9090": prometheus.endpoint });
      for (const query of blocksOf("prometheus", "promql")) await prometheus.until(query, ({ length }) => length > 0);
    },
    timeoutMs,
  );

  test.skipIf(!hasVictoria && !isCi)(
    "is found in a real VictoriaMetrics and a real VictoriaLogs by the queries of their page",
    async () => {
      const [metrics, logs] = await Promise.all([startVictoriaMetrics(), startVictoriaLogs()]);
      cleanups.push(
        () => metrics.stop(),
        () => logs.stop(),
      );
      await run("victoriametrics", {
        "http://127.0.0.1:8428": metrics.endpoint,
        "http://127.0.0.1:9428": logs.endpoint,
      });
      for (const query of blocksOf("victoriametrics", "promql"))
        await metrics.until(query, ([sum]) => sum?.value === 1);
      const [first = "", ...others] = blocksOf("victoriametrics", "logsql");
      expect(await logs.until(first, ({ length }) => length > 0)).toEqual([
        expect.objectContaining({
          "tailscale.tx.bytes": "300",
          _msg: expect.stringContaining("tcp virtual") as string,
        }),
      ]);
      for (const query of others) expect(await logs.query(query)).toHaveLength(1);
    },
    timeoutMs,
  );

  test.skipIf(!canHaveCollector() && !isCi)(
    "is found in what a real Collector received, as its page says",
    async () => {
      const collector = await startCollector();
      cleanups.push(() => collector.stop());
      await run("collector", { "http://127.0.0.1:4318": collector.endpoint });
      await collector.until(({ logs }) => logs().length > 0);
      expect(blocksOf("collector", "text")).toEqual([`EventName: ${collector.logs()[0]?.eventName}\n`]);
    },
    timeoutMs,
  );

  test(
    "is accepted under Loki's default limits, and found by the selector of its page",
    async () => {
      const loki = startLoki({ authEnabled: true });
      cleanups.push(() => loki.stop());
      const admin = await run("loki", { "http://127.0.0.1:3100": loki.endpoint });
      for (const query of blocksOf("loki", "logql")) expect(await loki.until(query)).toHaveLength(1);
      await untilStatusSays("../backends", "ok (last success", admin);
      expect(loki.refusals).toEqual([]);
    },
    timeoutMs,
  );
});

describe("an error that a page explains is what the backend answers, and `status` repeats it", () => {
  test.skipIf(!canHave(prometheusProgram) && !isCi)(
    "from Prometheus, to zstd and to differences",
    async () => {
      const prometheus = await startPrometheus();
      cleanups.push(() => prometheus.stop());
      const addresses = { "http://127.0.0.1:9090": prometheus.endpoint };
      for (const [change, error] of [
        ["otlp.compression=zstd", "HTTP 400: unsupported compression: zstd"],
        ["otlp.metrics.temporality=delta", "HTTP 500: invalid temporality and type combination for metric"],
      ] as const) {
        const admin = await run("prometheus", addresses, [change]);
        await untilStatusSays("prometheus", error, admin);
        await cleanups.pop()?.();
      }
    },
    timeoutMs,
  );

  test.skipIf(!hasVictoria && !isCi)(
    "from VictoriaLogs, to JSON; what it refused is delivered once that is corrected",
    async () => {
      const logs = await startVictoriaLogs();
      cleanups.push(() => logs.stop());
      const addresses = { "http://127.0.0.1:9428": logs.endpoint };
      const admin = await run("victoriametrics", addresses, ["otlp.protocol=http/json", "otlp.metrics.enabled=false"]);
      await untilStatusSays(
        "victoriametrics",
        "HTTP 400: json encoding isn't supported for opentelemetry format",
        admin,
      );
      await cleanups.pop()?.();
      await run("victoriametrics", addresses, ["otlp.metrics.enabled=false"]);
      const [query = ""] = blocksOf("victoriametrics", "logsql");
      await logs.until(query, ({ length }) => length === 2);
    },
    timeoutMs,
  );
});
