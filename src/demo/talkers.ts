/** Who talks to whom the most, from the counters of the last fold. */

export interface Series {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

/** Two nodes and the bytes between them, both directions together. */
export interface Talker {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}

/**
 * The pairs with the most bytes, greatest first. Both ends report a flow, so a pair appears once for each reporter:
 * the larger report is taken, not their sum. Physical traffic is left out; it is the same bytes once more.
 */
export function topTalkers(series: readonly Series[], limit: number): readonly Talker[] {
  const reports = new Map<string, { from: string; to: string; bytes: number }>();
  for (const { attributes, value } of series) {
    const from = attributes["tailscale.src.node"];
    const to = attributes["tailscale.dst.node"];
    if (typeof from !== "string" || typeof to !== "string" || from === "__other__") continue;
    if (attributes["tailscale.traffic_type"] === "physical") continue;
    const key = JSON.stringify([from, to]);
    const report = reports.get(key);
    if (report === undefined) reports.set(key, { from, to, bytes: value });
    else report.bytes += value;
  }
  const pairs = [...reports.values()].filter((report) => {
    const other = reports.get(JSON.stringify([report.to, report.from]));
    if (other === undefined || other === report) return true;
    return report.bytes > other.bytes || (report.bytes === other.bytes && report.from < report.to);
  });
  return pairs.sort((left, right) => right.bytes - left.bytes || compareText(left, right)).slice(0, limit);
}

function compareText(left: Talker, right: Talker): number {
  return `${left.from} ${left.to}` < `${right.from} ${right.to}` ? -1 : 1;
}
