/** The six kinds of traffic: their order, names and colors, and how they are drawn, the same everywhere. */
import type { Kind } from "../admin/traffic/index.ts";
import type { ChartSeries } from "./plot.ts";

export type { Kind } from "../admin/traffic/index.ts";

/** `direct`, `relayed` and `physical` are the bytes of the first three once more, as packets on the wire. */
export const kinds: readonly Kind[] = ["virtual", "subnet", "exit", "direct", "relayed", "physical"];

/** What nodes say to each other, and to networks behind them. */
export const trafficKinds = ["virtual", "subnet", "exit"] as const satisfies readonly Kind[];

/** How it gets there. */
export const pathKinds = ["direct", "relayed", "physical"] as const satisfies readonly Kind[];

export const kindTitles: Readonly<Record<Kind, string>> = {
  virtual: "Between nodes",
  subnet: "Subnet routes",
  exit: "Exit nodes",
  direct: "Direct",
  relayed: "Relayed",
  physical: "Path unknown",
};

/** What the last three are, for those who see all six in one picture. */
export const wireNote =
  "Direct, relayed and path unknown are the same traffic once more, as the packets that carry it.";

/** Columns of values by kind. */
export type KindColumns<Name extends string> = Readonly<
  Record<Kind, Readonly<Record<Name, readonly (number | null)[]>>>
>;

/** Entries of some kinds as series of a chart. */
export function entrySeries(of: readonly Kind[], columns: KindColumns<"entries">): readonly ChartSeries[] {
  return of.map((kind) => seriesOf(kind, columns[kind].entries));
}

/** Bytes of some kinds as series of a chart: sent above zero, received below it. */
export function byteSeries(of: readonly Kind[], columns: KindColumns<"txBytes" | "rxBytes">): readonly ChartSeries[] {
  return [
    ...of.map((kind) => seriesOf(kind, columns[kind].txBytes)),
    ...of.map((kind) => ({ ...seriesOf(kind, columns[kind].rxBytes), side: "below" as const })),
  ];
}

/** What `byteSeries` has above and below zero. */
export const byteSides = { above: "sent", below: "received" } as const;

function seriesOf(kind: Kind, values: readonly (number | null)[]): ChartSeries {
  return { title: kindTitles[kind], color: `--kind-${kind}`, values };
}
