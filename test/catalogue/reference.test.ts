/** Tests the reference page: every metric and attribute is on it, with an example query. */
import { describe, expect, test } from "bun:test";
import { logs } from "../../src/catalogue/logs.ts";
import { type MetricDefinition, type MetricName, metrics } from "../../src/catalogue/metrics.ts";
import { prometheusName } from "../../src/catalogue/definition.ts";
import { exampleQuery, signalsPage } from "../../scripts/signals-reference.ts";

const definitions = Object.entries(metrics) as [MetricName, MetricDefinition][];
const page = signalsPage();
const names = new Map(definitions.map(([name, definition]) => [prometheusName(name, definition), name]));

test.each([
  ["tailscale.network.io", "tailscale_network_io_bytes_total"],
  ["tailscale.network.packets.rollup", "tailscale_network_packets_rollup_total"],
  ["tailscale.network.unique.dst_peers", "tailscale_network_unique_dst_peers"],
  ["tailscale2otel.export.duration", "tailscale2otel_export_duration_seconds"],
  ["tailscale2otel.journal.pending.age", "tailscale2otel_journal_pending_age_seconds"],
  ["process.cpu.time", "process_cpu_time_seconds_total"],
  ["tailscale.stream.inflight", "tailscale_stream_inflight"],
] as const)("%s is %s", (name, expected) => {
  expect(prometheusName(name, metrics[name])).toBe(expected);
});

test("no two metrics share a name in Prometheus", () => {
  expect(names.size).toBe(definitions.length);
});

describe.each(definitions)("%s", (name, definition) => {
  test("is on the page, with its name in Prometheus, its attributes and its query", () => {
    expect(page).toContain(`### \`${name}\``);
    expect(page).toContain(`\`${prometheusName(name, definition)}\` · `);
    expect(page).toContain(exampleQuery(name, definition));
    for (const attribute of Object.keys(definition.attributes)) expect(page).toContain(`| \`${attribute}\` |`);
  });

  test("has a query for it that uses only existing metrics and labels", () => {
    const asked = [...exampleQuery(name, definition).matchAll(/\b(?:tailscale2otel|tailscale|process)_\w+/g)].map(
      ([word]) => word.replace(/_bucket$/, ""),
    );
    const known = asked.filter((word) => names.has(word));
    expect(known).toContain(prometheusName(name, definition));
    const labels = new Set(
      definitions.flatMap(([, { attributes }]) => Object.keys(attributes).map((label) => label.replaceAll(".", "_"))),
    );
    expect(asked.filter((word) => !names.has(word) && !labels.has(word))).toEqual([]);
  });
});

test("every log event and attribute is on the page", () => {
  for (const [name, { attributes }] of Object.entries(logs)) {
    expect(page).toContain(`### \`${name}\``);
    for (const attribute of Object.keys(attributes)) expect(page).toContain(`| \`${attribute}\` |`);
  }
});
