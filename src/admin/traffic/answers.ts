/** The answers of the traffic endpoints, as the page reads them. Times are epoch milliseconds. */
import type { Kind } from "../../ledger/minute.ts";

export type { Kind } from "../../ledger/minute.ts";

/** One number per minute or sample. Bytes are as the nodes report them: traffic that both ends report counts twice. */
export interface KindSeries {
  readonly entries: number[];
  readonly txBytes: number[];
  readonly rxBytes: number[];
}

export type SeriesByKind = Readonly<Record<Kind, KindSeries>>;

/** One sample per minute of acceptance; minutes without records are omitted. */
export interface Traffic {
  readonly since: number;
  readonly until: number;
  readonly stepSeconds: 60;
  /** False while minutes are being rebuilt from the journal. */
  readonly isComplete: boolean;
  /** With `nodes`: true if some minutes had more pairs than are kept, so that some of theirs may be missing. */
  readonly isPartial: boolean;
  /** The start of each minute. */
  readonly at: number[];
  readonly series: SeriesByKind;
  readonly audit: number[];
  readonly webhook: number[];
}

export interface TrafficPair {
  readonly from: string;
  readonly to: string;
  readonly entries: number;
  /** From `from` to `to`. */
  readonly txBytes: number;
  readonly rxBytes: number;
  readonly kinds: Partial<Record<Kind, number>>;
}

/** How a node is reached: bytes on the wire by path, as reported by its peers. */
export interface TrafficNode {
  readonly name: string;
  readonly kinds: Partial<Record<"direct" | "relayed" | "physical", number>>;
}

export interface TrafficService {
  /** The name of the service at the destination port, or of the transport if the port has none. */
  readonly name: string;
  readonly isTransport: boolean;
  readonly entries: number;
  readonly bytes: number;
}

export interface TrafficMap {
  readonly since: number;
  readonly until: number;
  readonly isComplete: boolean;
  /** Busiest first. If both ends report a pair, the larger report is used. */
  readonly pairs: readonly TrafficPair[];
  readonly nodes: readonly TrafficNode[];
  /** As reported, without physical traffic. */
  readonly services: readonly TrafficService[];
  /** Reports that belong to none of the pairs above. */
  readonly others: { readonly entries: number; readonly bytes: number };
}

/** What arrived within some seconds up to `at`. */
export interface TrafficSample {
  readonly at: number;
  readonly seconds: number;
  readonly series: Readonly<Record<Kind, { readonly [Name in keyof KindSeries]: number }>>;
}

/** The samples of the last hour, oldest first. */
export interface RecentTraffic {
  readonly at: number[];
  readonly seconds: number[];
  readonly series: SeriesByKind;
}
