/** Tests the shared `/metrics` page of several tailnets: each series once, labelled by tailnet unless it is the process's. */
import { expect, test } from "bun:test";
import { mergePages, prometheusPage } from "../../src/export/fold-points.ts";
import { createInstruments } from "../../src/export/instruments.ts";
import { nodesFold, resource } from "./metric-export.ts";
import { configWith } from "./settings.ts";

function tailnet(name: string, place: "first" | "further") {
  const common = { "tailscale.tailnet": name };
  const own = { ...resource, "service.instance.id": name };
  const instruments = createInstruments(configWith().self_observability, {
    resource: own,
    version: "1",
    common,
    place,
  });
  return { instruments, page: prometheusPage({ shown: () => nodesFold(41, 2), instruments, common }) };
}

test("each series appears once, together with the others of its metric", async () => {
  const [acme, globex] = [tailnet("acme", "first"), tailnet("globex", "further")];
  for (const [inFlight, { instruments }] of [
    [2, acme],
    [5, globex],
  ] as const) {
    instruments.telemetry.add("tailscale.stream.rejected", 1, { reason: "auth" });
    instruments.telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
    instruments.telemetry.add("tailscale.stream.inflight", inFlight, {});
    instruments.telemetry.observe("tailscale2otel.journal.size", () => [{ value: 7, attributes: {} }]);
  }
  acme.instruments.processTelemetry.add("tailscale.stream.rejected", 1, { reason: "auth" });
  const text = await mergePages([await acme.page(), await globex.page()]);
  const lines = text.trimEnd().split("\n");
  const series = lines.filter((line) => !line.startsWith("#")).map((line) => line.replace(/ [^ ]+$/, ""));
  expect(new Set(series).size).toBe(series.length);
  const families = lines.flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
  expect(new Set(families).size).toBe(families.length);
  const order = series.map((line) => line.replace(/\{.*/, "").replace(/_(?:bucket|sum|count)$/, ""));
  const runs = order.filter((name, index) => name !== order[index - 1]);
  expect(new Set(runs).size).toBe(runs.length);
  const of = (metric: string) => lines.filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `));
  expect(of("tailscale_network_io_bytes_total").filter((line) => line.includes("globex"))).toHaveLength(2);
  expect(of("tailscale_network_io_bytes_total")).toHaveLength(4);
  expect(of("tailscale2otel_journal_size_bytes")).toEqual([
    'tailscale2otel_journal_size_bytes{tailscale_tailnet="acme"} 7',
    'tailscale2otel_journal_size_bytes{tailscale_tailnet="globex"} 7',
  ]);
  expect(of("tailscale2otel_up_ratio").map((line) => line.replace("{}", ""))).toEqual(["tailscale2otel_up_ratio 1"]);
  expect(of("tailscale_stream_inflight").map((line) => line.replace("{}", ""))).toEqual([
    "tailscale_stream_inflight 2",
  ]);
  expect(of("tailscale_stream_rejected_total").filter((line) => line.includes('"auth"'))).toEqual([
    'tailscale_stream_rejected_total{tailscale_tailnet="acme",reason="auth"} 1',
    'tailscale_stream_rejected_total{reason="auth"} 1',
    'tailscale_stream_rejected_total{tailscale_tailnet="globex",reason="auth"} 1',
  ]);
  expect(of("target_info")).toHaveLength(2);
});

test("merging a single page keeps its lines", async () => {
  const page = await tailnet("acme", "first").page();
  expect((await mergePages([page])).split("\n").toSorted()).toEqual(page.split("\n").toSorted());
});
