/** The attribute sets of flow metrics as objects that are the same for the same content, so that sums need no text keys. */
import type { FlowClass, FlowEdge, NodePair } from "../catalogue/increments.ts";
import { derpRelayAddress } from "../records/address.ts";
import { transportName } from "../records/protocol-number.ts";
import type { Address, Connection, Endpoint } from "../records/types.ts";
import {
  type Claims,
  deviceAt,
  externalName,
  type FlowDimensions,
  nameOf,
  type NameOptions,
  unknownName,
} from "./names.ts";
import { privacyOf } from "./privacy.ts";
import { serviceCode, serviceName } from "./services.ts";

/** Distinct edges remembered. Names come from the wire, so a flood of them starts the memory anew instead of growing it. */
const maxEdges = 65_536;

let edgeCount = 0;
const classes = new Map<number, FlowClass>();
const classesWithPorts = new Map<FlowClass, Map<string, FlowClass>>();
const bySource = new Map<string | undefined, Map<string | undefined, PairEdges>>();
const shaped = new Map<string, PairEdges>();

interface PairEdges {
  readonly pair: NodePair;
  readonly edges: Map<FlowClass, FlowEdge>;
}

/** The edge that a connection belongs to. A relayed path ends at a region, which is no node: it has no destination. */
export function edgeOf(connection: Connection, claims: Claims, options: NameOptions): FlowEdge {
  const { source, destination } = connection;
  let flowClass = classOf(connection);
  const sourceName = source === undefined ? undefined : nameOf(source.address, claims, options);
  const destinationName =
    destination === undefined || flowClass.path === "derp" ? undefined : nameOf(destination.address, claims, options);
  const { dimensions, privacy } = options;
  const { pair, edges } =
    dimensions === undefined && privacy === undefined
      ? pairOf(sourceName, destinationName)
      : shapedPairOf(connection, { source: sourceName, destination: destinationName }, claims, options);
  if (dimensions !== undefined) flowClass = withPorts(flowClass, connection, dimensions);
  const known = edges.get(flowClass);
  if (known !== undefined) return known;
  const edge = { pair, class: flowClass };
  edges.set(flowClass, edge);
  edgeCount++;
  return edge;
}

/** The exported class of a connection, without ports. */
export function classOf({ traffic, protocol, destination }: Connection): FlowClass {
  const isPhysical = traffic === "physical";
  const region =
    isPhysical && destination !== undefined && destination.address.text === derpRelayAddress ? destination.port : -1;
  const path = !isPhysical ? undefined : region < 0 ? "direct" : "derp";
  const service = region >= 0 || destination === undefined ? 0 : serviceCode(protocol, destination.port);
  /** Regions and services exclude each other, and share one range of numbers. */
  const place = service === 0 ? region + 1 : service + 65_537;
  const code = protocol + 256 * trafficCode[traffic] + 1024 * place;
  const known = classes.get(code);
  if (known !== undefined) return known;
  if (classes.size >= maxEdges) forget();
  const transport = transportName(protocol);
  const derpRegion = region > 0 ? String(region) : undefined;
  const name = serviceName(service);
  const made: FlowClass = {
    key: `${transport}\u0000${traffic}\u0000${path ?? ""}\u0000${derpRegion ?? ""}\u0000${name ?? ""}`,
    transport,
    traffic,
    path,
    derpRegion,
    service: name,
    ports: undefined,
    withoutPorts: undefined,
  };
  classes.set(code, made);
  return made;
}

const trafficCode = { virtual: 0, subnet: 1, exit: 2, physical: 3 } as const;

function withPorts(flowClass: FlowClass, { source, destination }: Connection, dimensions: FlowDimensions): FlowClass {
  const from = dimensions.sourcePort ? portText(source) : undefined;
  const to = dimensions.destinationPort && flowClass.path !== "derp" ? portText(destination) : undefined;
  if (from === undefined && to === undefined) return flowClass;
  const ports = `${from ?? ""}>${to ?? ""}`;
  let known = classesWithPorts.get(flowClass);
  if (known === undefined) classesWithPorts.set(flowClass, (known = new Map()));
  let made = known.get(ports);
  if (made !== undefined) return made;
  made = {
    ...flowClass,
    key: `${flowClass.key}\u0000${ports}`,
    ports: { source: from, destination: to },
    withoutPorts: flowClass,
  };
  known.set(ports, made);
  edgeCount++;
  return made;
}

function portText(endpoint: Endpoint | undefined): string | undefined {
  return endpoint === undefined || endpoint.port === 0 ? undefined : String(endpoint.port);
}

function pairOf(source: string | undefined, destination: string | undefined): PairEdges {
  if (edgeCount >= maxEdges) forget();
  let destinations = bySource.get(source);
  if (destinations === undefined) bySource.set(source, (destinations = new Map()));
  const known = destinations.get(destination);
  if (known !== undefined) return known;
  const made: PairEdges = {
    pair: {
      key: pairKey(source, destination),
      source,
      destination,
      peer: isShared(destination) ? undefined : destination,
      identity: undefined,
    },
    edges: new Map(),
  };
  destinations.set(destination, made);
  return made;
}

/** The pair where settings ask for more, for less or for something else than the two names. */
function shapedPairOf(
  { source, destination }: Connection,
  names: Pick<NodePair, "source" | "destination">,
  claims: Claims,
  options: NameOptions,
): PairEdges {
  if (edgeCount >= maxEdges) forget();
  const { dimensions, privacy } = options;
  const hasNodes = dimensions?.nodes ?? true;
  const shown = (name: string | undefined): string | undefined => {
    if (name === undefined || !hasNodes) return undefined;
    return privacy === undefined ? name : privacyOf(privacy).node(name);
  };
  const from = shown(names.source);
  const to = shown(names.destination);
  const identity =
    dimensions?.identity === true
      ? {
          ...identityOf("tailscale.src", source?.address, claims, options),
          ...identityOf(
            "tailscale.dst",
            names.destination === undefined ? undefined : destination?.address,
            claims,
            options,
          ),
        }
      : undefined;
  const peer = isShared(names.destination) ? undefined : names.destination;
  const who = identity === undefined ? "" : JSON.stringify(identity);
  const key = `${pairKey(from, to)}\u0000${who}`;
  const place = `${key}\u0000${peer ?? ""}`;
  let known = shaped.get(place);
  if (known === undefined) {
    known = { pair: { key, source: from, destination: to, peer, identity }, edges: new Map() };
    shaped.set(place, known);
    edgeCount++;
  }
  return known;
}

function identityOf(
  prefix: "tailscale.src" | "tailscale.dst",
  address: Address | undefined,
  claims: Claims,
  options: NameOptions,
): Record<string, string> {
  const device = address === undefined ? undefined : deviceAt(address, claims, options);
  const identity: Record<string, string> = {};
  if (device === undefined) return identity;
  const user = options.privacy === undefined ? device.user : privacyOf(options.privacy).value("emails", device.user);
  if (user !== undefined && device.user !== "") identity[`${prefix}.user`] = user;
  if (device.tags.length > 0) identity[`${prefix}.tags`] = device.tags.join(",");
  if (device.os !== "") identity[`${prefix}.os`] = device.os;
  return identity;
}

function isShared(name: string | undefined): boolean {
  return name === unknownName || name === externalName;
}

/** A leading mark tells an absent name from an empty one. */
function pairKey(source: string | undefined, destination: string | undefined): string {
  return `${source === undefined ? "-" : `=${source}`}\u0000${destination === undefined ? "-" : `=${destination}`}`;
}

/** Objects handed out before stay valid; the same content may then stand in two objects, which the ledger adds up by key. */
function forget(): void {
  classes.clear();
  classesWithPorts.clear();
  bySource.clear();
  shaped.clear();
  edgeCount = 0;
}
