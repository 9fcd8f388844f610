/** The name that a metric has in Prometheus: the same from OTLP, which Prometheus translates, and from our own page. */
import type { MetricDefinition } from "./definition.ts";

/** As Prometheus' translation of OTLP writes units; what stands in braces is a note and not a unit. */
const unitNames: Readonly<Record<string, string>> = { By: "bytes", s: "seconds" };

/** `tailscale.network.io` in By becomes `tailscale_network_io_bytes_total`. */
export function prometheusName(name: string, { kind, unit }: Pick<MetricDefinition, "kind" | "unit">): string {
  const parts = [name.replaceAll(/[^a-zA-Z0-9]+/g, "_")];
  const unitName = unitNames[unit];
  if (unitName !== undefined) parts.push(unitName);
  if (kind === "counter" || kind === "total") parts.push("total");
  return parts.join("_");
}

/** `network.io.direction` becomes `network_io_direction`. */
export function prometheusLabel(attribute: string): string {
  return attribute.replaceAll(/[^a-zA-Z0-9]+/g, "_");
}
