/** What a connection entry carries and what it leaves out, as one small number: five counters for the price of one. */
import { fieldClasses, trafficTypes } from "./flow-metrics.ts";
import type { AttributesOf } from "./metrics.ts";

/** Codes that there are: two bits of traffic type above one bit per field class. */
export const fieldCodes = trafficTypes.length << fieldClasses.length;

/**
 * The code of an entry: its numbers in the columns, `ends` being the two address tags (0: absent) and a port of 0 a missing
 * one. The port of a relay is a region: it is given as 0.
 */
export function fieldsCode(
  traffic: number,
  protocol: number,
  ends: number,
  sourcePort: number,
  destinationPort: number,
): number {
  let code = traffic << 5;
  if ((ends & 3) !== 0) code |= sourcePort === 0 ? 1 : 1 | 8;
  if (ends >> 2 !== 0) code |= destinationPort === 0 ? 2 : 2 | 16;
  return protocol === 0 ? code : code | 4;
}

/** The attribute sets that an entry of this code counts in: one per field class. */
export function fieldObservations(code: number): readonly AttributesOf<"tailscale.network.field.observations">[] {
  const traffic = trafficTypes[code >> fieldClasses.length] ?? "virtual";
  return fieldClasses.map((fieldClass, place) => ({
    "tailscale.traffic_type": traffic,
    field_class: fieldClass,
    state: (code & (1 << place)) === 0 ? "missing" : "present",
  }));
}
