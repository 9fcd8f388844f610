/** The class of a connection entry (transport, traffic type, service, and the path of physical traffic), as a number and as attributes. */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import type { FlowClass } from "../catalogue/increments.ts";
import { type AttributeSet, attributeSet, type LogAttributes } from "../catalogue/log-event.ts";
import { derpRelayIpv4 } from "../records/address.ts";
import { addressAbsent, addressIpv4, type FlowColumns, trafficTypes } from "../records/flow/columns.ts";
import { transportName } from "../records/flow/protocols.ts";
import { portTable } from "./ports.ts" with { type: "macro" };

/**
 * Bare classes, those without a service or region, have numbers below this: by protocol and traffic type, then physical traffic
 * over a relay of unknown region, then physical traffic without a destination.
 */
export const bareClasses = 1536;

const physical = 3;
const bareRelayed = 1024;
const bareUnknownPath = 1280;

/** Above protocol and traffic type in a code: physical traffic without a destination, whose path is therefore unknown. */
const unknownPath = 65_537;

/**
 * The class of an entry as a number below 2³²: protocol in bits 0–7, traffic type in 8–9, and above them 0, the relay's region
 * plus 1, or the service's code plus 65,537. A relay has no service, so they share one range.
 */
export function classCode(columns: FlowColumns, entry: number): number {
  const protocol = columns.protocol[entry] as number;
  const traffic = columns.traffic[entry] as number;
  const tag = (columns.ends[entry] as number) >> 2;
  const port = columns.destinationPort[entry] as number;
  const code = protocol | (traffic << 8);
  if (traffic === physical && tag === addressIpv4 && columns.destination[entry] === derpRelayIpv4)
    return code + 1024 * (port + 1);
  if (tag === addressAbsent) return traffic === physical ? code + 1024 * unknownPath : code;
  const service = serviceCode(protocol, port);
  return service === 0 ? code : code + 1024 * (service + unknownPath);
}

/** True if a class is physical traffic over a relay, whose destination is a region instead of a node. */
export function isRelayed(code: number): boolean {
  const place = code >>> 10;
  return place >= 1 && place <= 65_536;
}

/** The number of a class stripped of its service or region. */
export function bareClassOf(code: number): number {
  const protocol = code & 0xff;
  if (isRelayed(code)) return bareRelayed + protocol;
  return code >>> 10 === unknownPath ? bareUnknownPath + protocol : code & 0x3ff;
}

/** True if a class has neither service nor region. */
export function isBare(code: number): boolean {
  const place = code >>> 10;
  return place <= 1 || place === unknownPath;
}

/** The code of a bare class. */
export function codeOfBareClass(number: number): number {
  if (number < bareRelayed) return number;
  const place = number < bareUnknownPath ? 1 : unknownPath;
  return (number & 0xff) + (physical << 8) + 1024 * place;
}

/** The class as metric attributes. */
export function flowClassOf(code: number): FlowClass {
  const traffic = (code >>> 8) & 3;
  const place = code >>> 10;
  const relayed = isRelayed(code);
  const region = relayed ? place - 1 : 0;
  const hasPath = traffic === physical && place !== unknownPath;
  return {
    transport: transportName(code & 0xff),
    traffic: trafficTypes[traffic] ?? "virtual",
    path: !hasPath ? undefined : relayed ? "derp" : "direct",
    derpRegion: region > 0 ? String(region) : undefined,
    service: place > unknownPath ? serviceName(place - unknownPath) : undefined,
    ports: undefined,
    withoutPorts: undefined,
  };
}

/** The class with ports; 0 means no port. */
export function withPorts(flowClass: FlowClass, sourcePort: number, destinationPort: number): FlowClass {
  if (sourcePort === 0 && destinationPort === 0) return flowClass;
  const source = sourcePort === 0 ? undefined : String(sourcePort);
  const destination = destinationPort === 0 ? undefined : String(destinationPort);
  return {
    ...flowClass,
    ports: { source, destination },
    withoutPorts: flowClass,
  };
}

/** What all log records of a class share. */
export interface ClassText {
  readonly set: AttributeSet;
  /** The start of their bodies: `<transport> <traffic type> `. */
  readonly opening: Uint8Array;
  /** The destination in their bodies if it is a relay: `derp-<region>` or `derp`. */
  readonly relay: Uint8Array | undefined;
}

/** The class as part of log records. `protocolName`: of a transport without a known number. */
export function classTextOf(code: number, protocolName?: string): ClassText {
  const { traffic, path, derpRegion, service, ...flowClass } = flowClassOf(code);
  const transport = protocolName ?? flowClass.transport;
  const attributes: AttributesOfLog<"tailscale.network.flow"> = {
    "network.transport": transport,
    "tailscale.traffic_type": traffic,
  };
  if (service !== undefined) attributes["tailscale.dst.service"] = service;
  if (path !== undefined) attributes["tailscale.path"] = path;
  if (derpRegion !== undefined) attributes["tailscale.derp.region_id"] = Number(derpRegion);
  const region = derpRegion === undefined ? "derp" : `derp-${derpRegion}`;
  return {
    set: attributeSet(attributes as LogAttributes),
    opening: encoder.encode(`${transport} ${traffic} `),
    relay: isRelayed(code) ? encoder.encode(region) : undefined,
  };
}

const encoder = new TextEncoder();

/** The code of the service that IANA assigns to a port of a protocol; 0 if there is none. */
export function serviceCode(protocol: number, port: number): number {
  return services().places[protocol]?.[port] ?? 0;
}

/** The name of a service by its code. */
export function serviceName(code: number): string | undefined {
  return code === 0 ? undefined : services().names[code];
}

interface Services {
  /** Distinct names by code; code 0 is unused. */
  readonly names: readonly string[];
  /** Codes by protocol and port. A lookup by string would cost ten times as much per connection. */
  readonly places: readonly (Uint16Array | undefined)[];
}

/** Numbers of the protocols for which IANA assigns ports, by their letters in the table. */
const protocols: Readonly<Record<string, number>> = { t: 6, u: 17, d: 33, s: 132 };

let read: Services | undefined;

/** Read at the first lookup, so that commands without flow records do not pay for it. */
function services(): Services {
  return (read ??= readServices());
}

function readServices(): Services {
  const names = [""];
  const places = Array.from({ length: 256 }, (_, protocol) =>
    Object.values(protocols).includes(protocol) ? new Uint16Array(65_536) : undefined,
  );
  for (const line of portTable().split("\n")) {
    const [name = "", ...assigned] = line.split(" ");
    const code = names.push(name) - 1;
    for (const place of assigned) {
      const port = Number.parseInt(place);
      for (const letter of place.slice(String(port).length)) {
        const ofProtocol = places[protocols[letter] ?? 0];
        if (ofProtocol !== undefined) ofProtocol[port] = code;
      }
    }
  }
  return { names, places };
}
