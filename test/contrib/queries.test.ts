/**
 * Every query of every dashboard and rule returns something from a real Prometheus and a real VictoriaLogs. They have
 * what the demo sends, and Prometheus also the metrics of an instance with everything that alerts cover.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { alerts } from "../../scripts/contrib/alerts.ts";
import { canHave } from "../support/go-build.ts";
import { type LogsBackend, startVictoriaLogs } from "../support/logs-backend.ts";
import { type MetricsBackend, startPrometheus } from "../support/metrics-backend.ts";
import { prometheusProgram } from "../support/prometheus-build.ts";
import { victoriaLogsProgram } from "../support/victorialogs-build.ts";
import { timeoutMs } from "../support/wait.ts";
import { dashboardFiles, queriesTo } from "./dashboard-files.ts";
import { type Scene, startScene } from "./scene.ts";

const contrib = join(import.meta.dir, "../../contrib");
const rulesFile = join(contrib, "prometheus/tailscale2otel.rules.yml");
const hasLogs = canHave(victoriaLogsProgram);
const canRun = canHave(prometheusProgram) || process.env.CI !== undefined;

/** Enough for a busy machine; usually it takes ten seconds. */
const answerMs = 100_000;

describe.skipIf(!canRun)("a real Prometheus", () => {
  let directory: string;
  let prometheus: MetricsBackend;
  let logs: LogsBackend | undefined;
  let scene: Scene;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "queries-test-"));
    prometheus = await startPrometheus({ rules: rulesFile });
    logs = hasLogs ? await startVictoriaLogs() : undefined;
    scene = await startScene({ directory, metricsEndpoint: prometheus.endpoint, logsEndpoint: logs?.endpoint });
  }, timeoutMs);

  afterAll(async () => {
    await scene.stop();
    await prometheus.stop();
    await logs?.stop();
    rmSync(directory, { recursive: true, force: true });
  }, timeoutMs);

  /** Asks until all queries have an answer, so that a failure names those without one. */
  async function expectAnswers(asked: readonly (readonly [string, string])[]): Promise<void> {
    const until = Date.now() + answerMs;
    let silent = asked;
    while (silent.length > 0 && Date.now() < until) {
      const answers = await Promise.all(silent.map(async (each) => [each, await prometheus.query(each[1])] as const));
      silent = answers
        .filter(([, samples]) => !samples.some(({ value }) => !Number.isNaN(value)))
        .map(([each]) => each);
      if (silent.length > 0) await Bun.sleep(250);
    }
    expect(silent).toEqual([]);
  }

  test(
    "answers every query of the dashboards",
    async () => {
      const queries = queriesTo("prometheus");
      expect(queries.length).toBeGreaterThan(80);
      await expectAnswers(queries);
    },
    timeoutMs,
  );

  test(
    "has labels for the variables of the dashboards",
    async () => {
      const wanted = dashboardFiles()
        .flatMap(({ templating }) => templating.list)
        .filter(({ type }) => type === "query")
        .map(({ query }) => /^label_values\((\w+), (\w+)\)$/.exec(query?.query ?? "")?.slice(1) ?? ["", ""]);
      expect(wanted.length).toBeGreaterThan(0);
      await expectAnswers(
        wanted.map(([series = "", label = ""]) => [label, `count by (${label}) (${series}{${label}!=""})`] as const),
      );
    },
    timeoutMs,
  );

  test(
    "evaluates every rule, and has a value for each alert's expression",
    async () => {
      const { groups } = Bun.YAML.parse(readFileSync(rulesFile, "utf8")) as {
        readonly groups: readonly { readonly rules: readonly { readonly record?: string; readonly expr: string }[] }[];
      };
      const recorded = groups.flatMap(({ rules }) => rules.flatMap(({ record }) => record ?? []));
      await expectAnswers([
        ...recorded.map((record) => [record, record] as const),
        ...alerts.map(({ name, value }) => [name, value] as const),
      ]);
      const rules = await prometheus.rules();
      expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
      expect(rules).toHaveLength(recorded.length + alerts.length);
    },
    timeoutMs,
  );

  test.skipIf(!hasLogs)(
    "finds log records in VictoriaLogs for every logs panel",
    async () => {
      const queries = queriesTo("victoriametrics-logs-datasource");
      expect(queries.map(([title]) => title)).toEqual(["Latest changes", "Latest events", "Flow log records"]);
      for (const [, query] of queries) {
        const [first] = (await logs?.until(query, ({ length }) => length > 0)) ?? [];
        expect(first?.["_msg"]).not.toBe("");
      }
    },
    timeoutMs,
  );
});
