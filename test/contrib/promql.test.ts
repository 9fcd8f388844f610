/** PromQL is written with the catalogue's names only, and rendered with Prometheus's names. */
import { expect, test } from "bun:test";
import { promql } from "../../scripts/contrib/promql.ts";

const { series, rate, quantile, max } = promql({ scope: 'instance=~"$instance"', window: "5m", keep: ["instance"] });

test("a selector has the scope, then the metric's own conditions", () => {
  expect(series("tailscale2otel.up")).toBe('tailscale2otel_up_ratio{instance=~"$instance"}');
  expect(series("tailscale.network.io.rollup", { "tailscale.path": "derp", "tailscale.dst.node": { not: "" } })).toBe(
    'tailscale_network_io_rollup_bytes_total{instance=~"$instance",tailscale_path="derp",tailscale_dst_node!=""}',
  );
  expect(series("tailscale2otel.export.requests", { outcome: { in: ["retry", "rejected"] } })).toBe(
    'tailscale2otel_export_requests_total{instance=~"$instance",outcome=~"retry|rejected"}',
  );
});

test("an aggregation keeps the usual labels, and a text cannot break out of its matcher", () => {
  expect(rate("tailscale.network.flows", { by: ["instance", "network.transport"] })).toBe(
    'sum by (instance, network_transport) (rate(tailscale_network_flows_total{instance=~"$instance"}[5m]))',
  );
  expect(quantile(0.9, "tailscale.stream.request.size", { over: "1h" })).toBe(
    'histogram_quantile(0.9, sum by (instance, le) (rate(tailscale_stream_request_size_bytes_bucket{instance=~"$instance"}[1h])))',
  );
  expect(max("tailscale2otel.series.active", { where: { "metric.name": 'a"b' } })).toContain('metric_name="a\\"b"');
});

test("names that are not in the catalogue do not compile", () => {
  // @ts-expect-error no such metric
  expect(() => series("tailscale.network.bits")).toThrow();
  // @ts-expect-error no such attribute of this metric
  rate("tailscale.network.flows", { by: ["tailscale.path"] });
  // @ts-expect-error no such word of this attribute
  rate("tailscale2otel.export.requests", { where: { outcome: "failure" } });
});
