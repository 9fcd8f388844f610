/** Real backends on loopback that accept OTLP metrics and answer PromQL queries: Prometheus and VictoriaMetrics. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { startForeignProgram, statusAt } from "./foreign-program.ts";
import { buildGoProgram } from "./go-build.ts";
import { freePort } from "./port.ts";
import { prometheusProgram } from "./prometheus-build.ts";
import { victoriaMetricsProgram } from "./victoriametrics-build.ts";

/** One series of a query result. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricsBackend {
  /** The base URL for OTLP over HTTP, to which `/v1/metrics` is appended. */
  readonly endpoint: string;
  /** The instant vector of a PromQL expression, now or at a Unix time in seconds. */
  query(expression: string, atSeconds?: number): Promise<readonly Sample[]>;
  /** Resolves with the first result that meets the condition. The caller's own timeout bounds the wait. */
  until(expression: string, condition: (samples: readonly Sample[]) => boolean): Promise<readonly Sample[]>;
  /** The health of each rule of a rule file; Prometheus only. */
  rules(): Promise<readonly { readonly name: string; readonly health: string }[]>;
  stop(): Promise<void>;
}

/**
 * `scraped`: an address whose `/metrics` is scraped every second. `rules`: a file whose rules are evaluated every second.
 * `config`: a complete configuration as YAML, instead of both.
 */
export async function startPrometheus(
  options: { readonly scraped?: string; readonly rules?: string; readonly config?: string } = {},
): Promise<MetricsBackend> {
  const binary = buildGoProgram(prometheusProgram);
  const directory = mkdtempSync(join(tmpdir(), "prometheus-"));
  const port = await freePort();
  const jobs =
    options.scraped === undefined ? [] : [{ job_name: "scraped", static_configs: [{ targets: [options.scraped] }] }];
  /** JSON, which is valid YAML. */
  writeFileSync(
    join(directory, "config.yml"),
    options.config ??
      JSON.stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
        scrape_configs: jobs,
        rule_files: options.rules === undefined ? [] : [options.rules],
      }),
  );
  const command = [
    binary,
    `--config.file=${join(directory, "config.yml")}`,
    `--storage.tsdb.path=${join(directory, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
    "--web.enable-otlp-receiver",
  ];
  const base = `http://127.0.0.1:${port}`;
  return running(command, directory, { base, health: `${base}/-/ready`, endpoint: `${base}/api/v1/otlp` });
}

export async function startVictoriaMetrics(): Promise<MetricsBackend> {
  const binary = buildGoProgram(victoriaMetricsProgram);
  const directory = mkdtempSync(join(tmpdir(), "victoriametrics-"));
  const port = await freePort();
  const command = [
    binary,
    `-storageDataPath=${join(directory, "data")}`,
    `-httpListenAddr=127.0.0.1:${port}`,
    "-opentelemetry.usePrometheusNaming",
    "-search.latencyOffset=0s",
    "-memory.allowedBytes=134217728",
  ];
  const base = `http://127.0.0.1:${port}`;
  return running(command, directory, {
    base,
    health: `${base}/health`,
    endpoint: `${base}/opentelemetry`,
    flush: `${base}/internal/force_flush`,
  });
}

interface Addresses {
  readonly base: string;
  readonly health: string;
  readonly endpoint: string;
  /** Ingested data can be queried only after some seconds, or after a request to this path. */
  readonly flush?: string;
}

async function running(
  command: readonly string[],
  directory: string,
  { base, health, endpoint, flush }: Addresses,
): Promise<MetricsBackend> {
  const program = await startForeignProgram(command, directory, async () => (await statusAt(health)) === 200);
  const query = async (expression: string, atSeconds?: number): Promise<readonly Sample[]> => {
    if (flush !== undefined) await fetch(flush);
    const time = atSeconds === undefined ? "" : `&time=${atSeconds}`;
    const response = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(expression)}${time}&nocache=1`);
    if (!response.ok) throw new Error(`${expression}: ${await response.text()}`);
    const { data } = (await response.json()) as {
      data: { result: readonly { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
  };
  return {
    endpoint,
    query,
    async until(expression, condition) {
      while (true) {
        const samples = await query(expression);
        if (condition(samples)) return samples;
        await wait(100);
      }
    },
    async rules() {
      const response = await fetch(`${base}/api/v1/rules`);
      const { data } = (await response.json()) as {
        data: { groups: readonly { rules: readonly { name: string; health: string }[] }[] };
      };
      return data.groups.flatMap(({ rules }) => rules);
    },
    stop: () => program.stop(),
  };
}
