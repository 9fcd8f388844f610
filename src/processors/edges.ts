/** The attribute sets of flow metrics as objects that are the same for the same content, so that sums need no text keys. */
import type { FlowClass, FlowEdge, NodePair } from "../catalogue/increments.ts";
import { derpRelayAddress } from "../records/address.ts";
import { transportName } from "../records/protocol-number.ts";
import type { Connection } from "../records/types.ts";
import { type Claims, type NameOptions, nameOf } from "./names.ts";

/** Distinct edges remembered. Names come from the wire, so a flood of them starts the memory anew instead of growing it. */
const maxEdges = 65_536;

let edgeCount = 0;
const classes = new Map<number, FlowClass>();
const bySource = new Map<string | undefined, Map<string | undefined, PairEdges>>();

interface PairEdges {
  readonly pair: NodePair;
  readonly edges: Map<FlowClass, FlowEdge>;
}

/** The edge that a connection belongs to. A relayed path ends at a region, which is no node: it has no destination. */
export function edgeOf(connection: Connection, claims: Claims, options: NameOptions): FlowEdge {
  const { source, destination } = connection;
  const flowClass = classOf(connection);
  const sourceName = source === undefined ? undefined : nameOf(source.address, claims, options);
  const destinationName =
    destination === undefined || flowClass.path === "derp" ? undefined : nameOf(destination.address, claims, options);
  const { pair, edges } = pairOf(sourceName, destinationName);
  const known = edges.get(flowClass);
  if (known !== undefined) return known;
  const edge = { pair, class: flowClass };
  edges.set(flowClass, edge);
  edgeCount++;
  return edge;
}

/** The exported class of a connection. */
export function classOf({ traffic, protocol, destination }: Connection): FlowClass {
  const isPhysical = traffic === "physical";
  const region =
    isPhysical && destination !== undefined && destination.address.text === derpRelayAddress ? destination.port : -1;
  const path = !isPhysical ? undefined : region < 0 ? "direct" : "derp";
  const code = protocol + 256 * trafficCode[traffic] + 1024 * (region + 1);
  const known = classes.get(code);
  if (known !== undefined) return known;
  if (classes.size >= maxEdges) forget();
  const transport = transportName(protocol);
  const derpRegion = region > 0 ? String(region) : undefined;
  const made: FlowClass = {
    key: `${transport}\u0000${traffic}\u0000${path ?? ""}\u0000${derpRegion ?? ""}`,
    transport,
    traffic,
    path,
    derpRegion,
  };
  classes.set(code, made);
  return made;
}

const trafficCode = { virtual: 0, subnet: 1, exit: 2, physical: 3 } as const;

function pairOf(source: string | undefined, destination: string | undefined): PairEdges {
  if (edgeCount >= maxEdges) forget();
  let destinations = bySource.get(source);
  if (destinations === undefined) bySource.set(source, (destinations = new Map()));
  const known = destinations.get(destination);
  if (known !== undefined) return known;
  const made = {
    pair: { key: pairKey(source, destination), source, destination },
    edges: new Map<FlowClass, FlowEdge>(),
  };
  destinations.set(destination, made);
  return made;
}

/** A leading mark tells an absent name from an empty one. */
function pairKey(source: string | undefined, destination: string | undefined): string {
  return `${source === undefined ? "-" : `=${source}`}\u0000${destination === undefined ? "-" : `=${destination}`}`;
}

/** Objects handed out before stay valid; the same content may then stand in two objects, which the ledger adds up by key. */
function forget(): void {
  classes.clear();
  bySource.clear();
  edgeCount = 0;
}
