/** The six kinds of traffic: their order, names and colors, and how they are drawn, the same everywhere. */
import type { Kind } from "../admin/traffic/index.ts";
import type { ChartSeries } from "./plot.ts";

export type { Kind } from "../admin/traffic/index.ts";

/** `direct`, `relayed` and `physical` count the bytes of the first three again, as packets on the wire. */
export const kinds: readonly Kind[] = ["virtual", "subnet", "exit", "direct", "relayed", "physical"];

/** Traffic between nodes, and with networks behind them. */
export const trafficKinds = ["virtual", "subnet", "exit"] as const satisfies readonly Kind[];

/** How that traffic travels. */
export const pathKinds = ["direct", "relayed", "physical"] as const satisfies readonly Kind[];

export const kindTitles: Readonly<Record<Kind, string>> = {
  virtual: "Between nodes",
  subnet: "Subnet routes",
  exit: "Exit nodes",
  direct: "Direct",
  relayed: "Relayed",
  physical: "Path unknown",
};

/** Explains the last three kinds wherever all six are shown together. */
export const wireNote =
  "Direct, relayed and path unknown are the same traffic once more, as the packets that carry it.";

/** Columns of values by kind. */
export type KindColumns<Name extends string> = Readonly<
  Record<Kind, Readonly<Record<Name, readonly (number | null)[]>>>
>;

/** Entries of the given kinds as series of a chart. */
export function entrySeries(of: readonly Kind[], columns: KindColumns<"entries">): readonly ChartSeries[] {
  return of.map((kind) => seriesOf(kind, columns[kind].entries));
}

/** Bytes of the given kinds as series of a chart: sent above zero, received below it. */
export function byteSeries(of: readonly Kind[], columns: KindColumns<"txBytes" | "rxBytes">): readonly ChartSeries[] {
  return [
    ...of.map((kind) => seriesOf(kind, columns[kind].txBytes)),
    ...of.map((kind) => ({ ...seriesOf(kind, columns[kind].rxBytes), side: "below" as const })),
  ];
}

/** The meaning of the sides of `byteSeries`. */
export const byteSides = { above: "sent", below: "received" } as const;

function seriesOf(kind: Kind, values: readonly (number | null)[]): ChartSeries {
  return { title: kindTitles[kind], color: `--kind-${kind}`, values };
}
