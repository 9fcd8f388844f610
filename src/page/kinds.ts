/** The six kinds of traffic: their order, names and colors, the same everywhere. */
import type { Kind } from "../admin/traffic/index.ts";

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

/** The variable of `style.css`. */
export function colorOf(kind: Kind): string {
  return `--kind-${kind}`;
}
