/**
 * Tests the compiled program with a real Prometheus, which receives metrics by OTLP and also scrapes `/metrics`: the totals
 * must be equal.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type MetricDefinition, type MetricName, metrics } from "../../src/catalogue/metrics.ts";
import { exampleQuery } from "../../scripts/signals-reference.ts";
import { programBinary } from "../support/binary.ts";
import { curl } from "../support/curl.ts";
import { canHave } from "../support/go-build.ts";
import { type MetricsBackend, type Sample, startPrometheus } from "../support/metrics-backend.ts";
import { freePort } from "../support/port.ts";
import { prometheusProgram } from "../support/prometheus-build.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { handCounted, sampleBody } from "../support/sample-body.ts";
import { timeoutMs } from "../support/wait.ts";

const canRun = canHave(prometheusProgram) || process.env.CI !== undefined;
const jobs = { otlp: 'job="tailscale2otel"', scraped: 'job="scraped"' };
const trafficTypes = ["virtual", "subnet", "exit", "physical"] as const;
const flowEntries = trafficTypes.reduce((sum, type) => sum + handCounted[type].entries, 0);

describe.skipIf(!canRun)("a real Prometheus", () => {
  let directory: string;
  let prometheus: MetricsBackend;
  let program: RunningProgram;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "prometheus-test-"));
    const adminPort = await freePort();
    prometheus = await startPrometheus({ scraped: `127.0.0.1:${adminPort}` });
    program = await startProgram({
      command: [programBinary()],
      directory,
      endpoint: prometheus.endpoint,
      encoding: "json",
      adminPort,
      settings: {
        TS2OTEL_OTLP__LOGS__ENABLED: "false",
        TS2OTEL_TAILSCALE__TAILNET: "example.com",
      },
    });
  }, timeoutMs);

  afterEach(async () => {
    await program.kill();
    await prometheus.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    "has the totals by OTLP and by scraping, under the same names",
    async () => {
      expect(curl({ url: program.url, token: program.token, body: Buffer.from(sampleBody) })).toMatchObject({
        status: 200,
      });
      // After a failed scrape, its series are missing until the next one.
      const expectEventually = async (expression: string, wanted: Readonly<Record<string, number>>): Promise<void> =>
        void (await prometheus.until(expression, (samples) => isDeepStrictEqual(byType(samples), wanted)));
      for (const job of Object.values(jobs)) {
        const expectSum = (metric: string, more: string, wanted: Readonly<Record<string, number>>) =>
          expectEventually(`sum by (tailscale_traffic_type) (${metric}{${job}${more}})`, wanted);
        await expectSum("tailscale_network_flows_total", "", byHand("entries"));
        for (const [direction, bytes, packets] of [
          ["transmit", "txBytes", "txPackets"],
          ["receive", "rxBytes", "rxPackets"],
        ] as const) {
          const of = `,network_io_direction="${direction}"`;
          await expectSum("tailscale_network_io_rollup_bytes_total", of, byHand(bytes));
          await expectSum("tailscale_network_packets_rollup_total", of, byHand(packets));
        }
        await prometheus.until(`sum(tailscale_stream_records_total{${job},type="audit"})`, (of) => sumOf(of) === 8);
        await prometheus.until(
          `tailscale2otel_up_ratio{${job},tailscale_tailnet="example.com"}`,
          (of) => sumOf(of) === 1,
        );
      }
      const series = async (job: string) =>
        (await prometheus.until(`tailscale_network_io_rollup_bytes_total{${job}}`, (samples) => samples.length > 0))
          .map(({ labels }) => namesOf(labels))
          .toSorted();
      expect(await series(jobs.otlp)).toEqual(await series(jobs.scraped));
    },
    timeoutMs,
  );

  test(
    "understands every example query of the reference",
    async () => {
      for (const [name, definition] of Object.entries(metrics) as [MetricName, MetricDefinition][]) {
        await prometheus.query(exampleQuery(name, definition));
      }
    },
    timeoutMs,
  );

  test(
    "sees the first value of a series in increase()",
    async () => {
      curl({ url: program.url, token: program.token, body: Buffer.from(sampleBody) });
      const increase = `sum(increase(tailscale_network_flows_total{${jobs.otlp}}[1m]))`;
      const [total] = await prometheus.until(increase, (samples) => sumOf(samples) > 0);
      expect(total?.value).toBeGreaterThanOrEqual(flowEntries * 0.99);
      expect(total?.value).toBeLessThan(flowEntries * 3);
    },
    timeoutMs,
  );
});

function sumOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, { value }) => sum + value, 0);
}

function byType(samples: readonly Sample[]): Record<string, number> {
  return Object.fromEntries(
    samples.filter(({ value }) => value !== 0).map(({ labels, value }) => [labels["tailscale_traffic_type"], value]),
  );
}

function byHand(sum: keyof (typeof handCounted)["virtual"]): Record<string, number> {
  return Object.fromEntries(
    trafficTypes.map((type) => [type, handCounted[type][sum]] as const).filter(([, value]) => value !== 0),
  );
}

/** The program's labels, without job and instance, which the scraper adds. */
function namesOf({ job: _job, instance: _instance, ...labels }: Sample["labels"]): string {
  return JSON.stringify(Object.entries(labels).toSorted());
}
