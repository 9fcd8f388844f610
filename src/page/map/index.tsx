/** The map of who talks to whom: nodes are machines, edges are traffic. */
import type { JSX } from "preact";

export interface MapPair {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly relayedBytes: number;
}

export interface TrafficMapProps {
  readonly pairs: readonly MapPair[];
  /** Names of nodes. */
  readonly chosen: readonly string[];
  readonly onChoose: (nodes: readonly string[]) => void;
}

export function TrafficMapView({ pairs }: TrafficMapProps): JSX.Element {
  return <p>{pairs.length} pairs</p>;
}
