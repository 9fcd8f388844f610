/** Adds up exported points, as a backend would, into the totals that tests expect. */
import { trafficTypes } from "./sample-body.ts";
import type { TrafficSums, TrafficType } from "./sample-body.ts";
import type { SunkLog, SunkPoint } from "./otlp-sink.ts";

/** The latest value of each series of a metric, summed by one attribute. */
export function totalsOf(points: readonly SunkPoint[], metric: string, by: string): Readonly<Record<string, number>> {
  const newest = new Map<string, SunkPoint>();
  for (const point of points) {
    if (point.metric !== metric) continue;
    const series = JSON.stringify(Object.entries(point.attributes).sort());
    const known = newest.get(series);
    if (known === undefined || timeOf(point) >= timeOf(known)) newest.set(series, point);
  }
  const totals: Record<string, number> = {};
  for (const { attributes, value = 0 } of newest.values()) {
    const group = String(attributes[by]);
    totals[group] = (totals[group] ?? 0) + value;
  }
  return totals;
}

/** Traffic in the flow metrics, by traffic type. */
export function trafficOf(points: readonly SunkPoint[]): Readonly<Record<TrafficType, TrafficSums>> {
  const type = "tailscale.traffic_type";
  const flows = totalsOf(points, "tailscale.network.flows", type);
  const sent = points.filter(({ attributes }) => attributes["network.io.direction"] === "transmit");
  const received = points.filter(({ attributes }) => attributes["network.io.direction"] === "receive");
  const txBytes = totalsOf(sent, "tailscale.network.io.rollup", type);
  const rxBytes = totalsOf(received, "tailscale.network.io.rollup", type);
  const txPackets = totalsOf(sent, "tailscale.network.packets.rollup", type);
  const rxPackets = totalsOf(received, "tailscale.network.packets.rollup", type);
  return byType((name) => ({
    entries: flows[name] ?? 0,
    txBytes: txBytes[name] ?? 0,
    rxBytes: rxBytes[name] ?? 0,
    txPackets: txPackets[name] ?? 0,
    rxPackets: rxPackets[name] ?? 0,
  }));
}

/** Traffic in the flow logs, by traffic type. */
export function trafficOfLogs(logs: readonly SunkLog[]): Readonly<Record<TrafficType, TrafficSums>> {
  return byType((name) => {
    const entries = logs.filter(({ attributes }) => attributes["tailscale.traffic_type"] === name);
    const sumOf = (attribute: string) =>
      entries.reduce((sum, { attributes }) => sum + Number(attributes[`tailscale.${attribute}`] ?? 0), 0);
    return {
      entries: entries.length,
      txBytes: sumOf("tx.bytes"),
      rxBytes: sumOf("rx.bytes"),
      txPackets: sumOf("tx.packets"),
      rxPackets: sumOf("rx.packets"),
    };
  });
}

function byType(sumsOf: (type: TrafficType) => TrafficSums): Readonly<Record<TrafficType, TrafficSums>> {
  return Object.fromEntries(trafficTypes.map((type) => [type, sumsOf(type)])) as Record<TrafficType, TrafficSums>;
}

function timeOf({ timeUnixNano = "0" }: SunkPoint): bigint {
  return BigInt(timeUnixNano);
}
