/** Tests that the OTLP sink decodes what OpenTelemetry's own exporters send. */
import { expect, test } from "bun:test";
import { SeverityNumber } from "@opentelemetry/api";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { startOtlpSink } from "./otlp-sink.ts";

const resource = resourceFromAttributes({ "service.name": "test" });

test("a log record of the official exporter", async () => {
  const sink = await startOtlpSink();
  const exporter = new OTLPLogExporter({ url: `${sink.url}/v1/logs` });
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter })] });
  provider.getLogger("scope", "1").emit({
    eventName: "event",
    timestamp: [1, 500],
    severityNumber: SeverityNumber.WARN,
    body: "text",
    attributes: { count: 9_007_199_254_740_991, name: "a", list: ["b", "c"] },
  });
  await sink.until(({ logs }) => logs.length > 0);
  expect(sink.logs).toMatchObject([
    {
      eventName: "event",
      timeUnixNano: "1000000500",
      severityNumber: SeverityNumber.WARN,
      body: "text",
      attributes: { count: 9_007_199_254_740_991, name: "a", list: ["b", "c"] },
      resource: { "service.name": "test" },
      scope: { name: "scope", version: "1" },
    },
  ]);
  await provider.shutdown();
  await sink.stop();
});

test("a counter of the official exporter", async () => {
  const sink = await startOtlpSink();
  const exporter = new OTLPMetricExporter({ url: `${sink.url}/v1/metrics` });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
  const provider = new MeterProvider({ resource, readers: [reader] });
  provider.getMeter("scope").createCounter("bytes", { unit: "By" }).add(7, { way: "in" });
  await provider.forceFlush();
  expect(sink.points).toMatchObject([
    { metric: "bytes", kind: "sum", unit: "By", isMonotonic: true, attributes: { way: "in" }, value: 7 },
  ]);
  await provider.shutdown();
  await sink.stop();
});
