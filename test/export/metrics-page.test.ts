/** Tests the Prometheus page: full names, the same totals as OTLP, one rendering for concurrent requests, and short steps. */
import { expect, test } from "bun:test";
import { prometheusPage } from "../../src/export/fold-points.ts";
import { createInstruments } from "../../src/export/instruments.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { foldOf, nodesFold, resource } from "./metric-export.ts";
import { configWith } from "./settings.ts";

const common = { "tailscale.tailnet": "t" };

function pageOf(shown: () => Fold) {
  const instruments = createInstruments(configWith().self_observability, { resource, version: "1.2.3", common });
  return { page: prometheusPage({ shown, instruments, common }), telemetry: instruments.telemetry, instruments };
}

test("has units in names, the catalogue's descriptions, and the totals of the last fold without points of 0", async () => {
  const { page, telemetry } = pageOf(() => ({ ...nodesFold(41, 2), since: 1_800_000_000_000 }));
  telemetry.record("tailscale2otel.export.duration", 0.02, { signal: "logs", outcome: "success" });
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  const lines = (await page()).split("\n");
  expect(lines).toContain("# TYPE tailscale_network_io_bytes_total counter");
  expect(lines).toContain(
    'tailscale_network_io_bytes_total{tailscale_tailnet="t",network_io_direction="transmit",tailscale_src_node="node-0"} 41',
  );
  expect(lines.filter((line) => line.startsWith("tailscale_network_io_bytes_total{"))).toHaveLength(2);
  expect(lines).toContain('tailscale2otel_up_ratio{tailscale_tailnet="t"} 1');
  expect(lines).toContain(
    'tailscale2otel_export_duration_seconds_count{tailscale_tailnet="t",signal="logs",outcome="success"} 1',
  );
  expect(lines.some((line) => line.startsWith("target_info{service_name="))).toBe(true);
  expect(lines.some((line) => line.startsWith("# UNIT"))).toBe(false);
});

test("writes each metric's header once, however many series it has, and only complete lines", async () => {
  const { page } = pageOf(() =>
    foldOf([...nodesFold(0, 1000).metrics, ...nodesFold(0, 3, "tailscale.network.unique.dst_peers").metrics]),
  );
  const text = await page();
  const lines = text.split("\n").filter((line) => line !== "");
  expect(lines.filter((line) => line === "# TYPE tailscale_network_io_bytes_total counter")).toHaveLength(1);
  expect(lines.filter((line) => line === "# TYPE tailscale_network_unique_dst_peers gauge")).toHaveLength(1);
  const values = lines.filter((line) => line.startsWith("tailscale_network_io_bytes_total{"));
  expect(values.map((line) => Number(line.split(" ").at(-1)))).toEqual(Array.from({ length: 1000 }, (_, node) => node));
  expect(lines.every((line) => /^(# (HELP|TYPE) \w+ |\w+(\{.*\})? [\d.e+-]+$)/.test(line))).toBe(true);
  expect(text.endsWith("\n")).toBe(true);
});

test("is rendered once for concurrent requests, and again for later ones", async () => {
  let asked = 0;
  const { page } = pageOf(() => {
    asked++;
    return nodesFold(asked);
  });
  const [first, second] = await Promise.all([page(), page()]);
  expect(asked).toBe(1);
  expect(second).toBe(first);
  expect(await page()).not.toBe(first);
});

test("yields while thousands of series are written", async () => {
  const fold = nodesFold(0, 20_000);
  const { page } = pageOf(() => fold);
  const writing = page();
  let turns = 0;
  const others = setInterval(() => turns++, 0);
  await writing;
  clearInterval(others);
  expect(turns).toBeGreaterThan(1);
});

test("fails only the requests that waited for a failed collection, not the next one", async () => {
  let isBroken = true;
  const { page } = pageOf(() => {
    if (isBroken) throw new Error("no fold");
    return nodesFold(1);
  });
  expect(page()).rejects.toThrow("no fold");
  await page().catch(() => undefined);
  isBroken = false;
  expect(await page()).toContain("tailscale_network_io_bytes_total");
});
