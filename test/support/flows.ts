/** Flow increments for tests, written as few words as possible. */
import { type FlowEdge, type FlowSums, type Increments, noIncrements } from "../../src/catalogue/increments.ts";

/** One edge's gains; a missing end is absent. */
export interface FlowGain {
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  readonly transport?: string;
  readonly derpRegion?: string;
  readonly sums: Partial<FlowSums>;
}

/** Increments of these gains, each edge an object of its own. */
export function flowIncrements(gains: readonly FlowGain[]): Increments {
  const increments = noIncrements();
  for (const gain of gains) {
    increments.flows.set(edgeOf(gain), {
      entries: 1,
      txBytes: 0,
      rxBytes: 0,
      txPackets: 0,
      rxPackets: 0,
      ...gain.sums,
    });
  }
  return increments;
}

function edgeOf({ source, destination, transport = "tcp", derpRegion }: FlowGain): FlowEdge {
  const traffic = derpRegion === undefined ? "virtual" : "physical";
  const path = derpRegion === undefined ? undefined : "derp";
  return {
    pair: { key: `${source}>${destination}`, source, destination, peer: destination, identity: undefined },
    class: {
      key: `${transport} ${traffic} ${derpRegion}`,
      transport,
      traffic,
      path,
      derpRegion,
      service: undefined,
      ports: undefined,
      withoutPorts: undefined,
    },
  };
}
