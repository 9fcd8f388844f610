/** What a connection entry carries and what it leaves out, as one small number: five counters for the price of one. */
import { derpRelayAddress } from "../records/address.ts";
import { fieldClasses, trafficTypes } from "./flow-metrics.ts";
import type { AttributesOf } from "./metrics.ts";

interface Carrier {
  readonly traffic: (typeof trafficTypes)[number];
  /** 0: missing. */
  readonly protocol: number;
  readonly source: { readonly port: number } | undefined;
  readonly destination: { readonly port: number; readonly address: { readonly text: string } } | undefined;
}

const trafficCode = { virtual: 0, subnet: 1, exit: 2, physical: 3 } as const;

/** Below 128: traffic type, then a bit for each field class in its order. */
export function fieldsCode({ traffic, protocol, source, destination }: Carrier): number {
  let code = trafficCode[traffic] << fieldClasses.length;
  if (source !== undefined) code |= source.port === 0 ? 1 : 1 | 8;
  if (protocol !== 0) code |= 4;
  if (destination === undefined) return code;
  /** Behind a relay, the port is a region. */
  const hasPort = destination.port !== 0 && !(traffic === "physical" && destination.address.text === derpRelayAddress);
  return code | (hasPort ? 2 | 16 : 2);
}

/** The attribute sets that an entry of this code counts in: one a field class. */
export function fieldObservations(code: number): readonly AttributesOf<"tailscale.network.field.observations">[] {
  const traffic = trafficTypes[code >> fieldClasses.length] ?? "virtual";
  return fieldClasses.map((fieldClass, place) => ({
    "tailscale.traffic_type": traffic,
    field_class: fieldClass,
    state: (code & (1 << place)) === 0 ? "missing" : "present",
  }));
}
