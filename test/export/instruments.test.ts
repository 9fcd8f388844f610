/** Tests that the process's own instruments report only what is currently observed. */
import { expect, test } from "bun:test";
import { createInstruments } from "../../src/export/instruments.ts";
import { resource } from "./metric-export.ts";
import { configWith } from "./settings.ts";

function instruments() {
  const { telemetry, collect } = createInstruments(configWith().self_observability, {
    resource,
    version: "1",
    common: {},
  });
  const points = async (metric: string) =>
    (await collect()).scopeMetrics
      .flatMap(({ metrics }) => metrics)
      .filter(({ descriptor }) => descriptor.name === metric)
      .flatMap(({ dataPoints }) => dataPoints.map(({ value, attributes }) => ({ value, attributes })));
  return { telemetry, points };
}

test("a gauge has only the attributes observed now, with their current values", async () => {
  const { telemetry, points } = instruments();
  let waiting: readonly (readonly [destination: string, value: number])[] = [
    ["a", 1],
    ["b", 2],
  ];
  telemetry.observe("tailscale2otel.journal.pending", () =>
    waiting.map(([destination, value]) => ({ value, attributes: { destination } })),
  );
  expect(await points("tailscale2otel.journal.pending")).toHaveLength(2);
  waiting = [["b", 1]];
  expect(await points("tailscale2otel.journal.pending")).toEqual([{ value: 1, attributes: { destination: "b" } }]);
  waiting = [];
  expect(await points("tailscale2otel.journal.pending")).toEqual([]);
});

test("a total that is not observed is absent, and continues from its value when it is observed again", async () => {
  const { telemetry, points } = instruments();
  let lost: number | undefined = 5;
  telemetry.observe("tailscale2otel.journal.lost.rows", () =>
    lost === undefined ? [] : [{ value: lost, attributes: {} }],
  );
  expect(await points("tailscale2otel.journal.lost.rows")).toEqual([{ value: 5, attributes: {} }]);
  lost = undefined;
  expect(await points("tailscale2otel.journal.lost.rows")).toEqual([]);
  lost = 7;
  expect(await points("tailscale2otel.journal.lost.rows")).toEqual([{ value: 7, attributes: {} }]);
  telemetry.observe("tailscale2otel.journal.lost.rows", () => []);
  expect(await points("tailscale2otel.journal.lost.rows")).toEqual([{ value: 7, attributes: {} }]);
});
