/** Flow records as metrics: the edge that each entry counts for, the exit node of a record, and which fields entries carry. */
import { type AttributesOf, fieldClasses } from "../catalogue/metrics.ts";
import { ipv6Text } from "../records/address.ts";
import { addressAbsent, addressIpv4, addressIpv6, type FlowColumns, trafficTypes } from "../records/flow/columns.ts";
import { boundedLabel, privacyOf } from "./outgoing.ts";
import { type EdgeBook, ownExit } from "./edges.ts";
import type { EndBook } from "./ends.ts";
import { type Directory, type ProcessorSettings, reporterName } from "./names.ts";
import { hasAddress } from "./record-claims.ts";

/** What measuring needs, all of one thread. */
export interface MeasureContext {
  readonly settings: ProcessorSettings;
  readonly ends: EndBook;
  readonly edges: EdgeBook;
}

const exit = trafficTypes.indexOf("exit");

/**
 * Writes the edge of each entry that is not left out, and the label of the node that each record's exit traffic counts for: the reporter, but for its own traffic.
 * The numbers are those of the current generation of `edges`. About 0.1 µs per entry.
 */
export function measureFlow(
  columns: FlowColumns,
  fromRecord: number,
  toRecord: number,
  { settings, ends, edges }: MeasureContext,
): void {
  const { firstEntry, leftOut, edge, traffic } = columns;
  for (let record = fromRecord; record < toRecord; record++) {
    ends.begin(columns, record);
    let exits = 0;
    const end = firstEntry[record + 1] as number;
    for (let entry = firstEntry[record] as number; entry < end; entry++) {
      if (leftOut[entry] !== 0) continue;
      edge[entry] = edges.edgeOf(columns, entry, ends);
      if (traffic[entry] !== exit) continue;
      if (isOfReporter(columns, record, entry, settings.directory.current))
        edge[entry] = (edge[entry] as number) | ownExit;
      else exits++;
    }
    columns.exitNode[record] = exits > 0 ? exitNodeOf(columns, record, settings) : undefined;
  }
}

/**
 * Whether the source of an entry, or the destination of one without a source, is an address of the reporting node: traffic
 * that it sent through an exit node, which reports it too. By the directory, or by the record if it names its own node.
 */
function isOfReporter(columns: FlowColumns, record: number, entry: number, directory: Directory | undefined): boolean {
  const { ends, source, destination, ipv6 } = columns;
  const sourceTag = (ends[entry] as number) & 3;
  const tag = sourceTag === addressAbsent ? (ends[entry] as number) >> 2 : sourceTag;
  const value = (sourceTag === addressAbsent ? destination[entry] : source[entry]) as number;
  if (tag !== addressIpv4 && tag !== addressIpv6) return false;
  const nodeId = columns.nodeId[record] as string;
  const claim = columns.sourceNode[record];
  if (claim?.nodeId === nodeId && hasAddress(claim, tag, value, ipv6)) return true;
  if (directory === undefined) return false;
  const device = tag === addressIpv4 ? directory.byIpv4.get(value) : directory.byText.get(ipv6Text(ipv6, value * 4));
  return device?.nodeId === nodeId;
}

/** Whether a record names the node that Tailscale has verified as its own. */
export function consistencyOf(columns: FlowColumns, record: number): "match" | "mismatch" | "missing_reference" {
  const claim = columns.sourceNode[record];
  if (claim === undefined || claim.nodeId === "") return "missing_reference";
  return claim.nodeId === columns.nodeId[record] ? "match" : "mismatch";
}

/**
 * The label of the node that exit traffic counts for: its name, or its id if nobody names it; empty if privacy drops it,
 * nothing if exit traffic is not counted by node.
 */
export function exitNodeOf(columns: FlowColumns, record: number, settings: ProcessorSettings): string | undefined {
  if (!settings.countsExitNodes) return undefined;
  const name = reporterName(columns, record, settings);
  const nodeId = columns.nodeId[record] as string;
  if (settings.privacy === undefined) return boundedLabel(name ?? nodeId);
  const privacy = privacyOf(settings.privacy);
  const shown = name === undefined ? privacy.value("node_ids", nodeId) : privacy.node(name);
  return boundedLabel(shown ?? "");
}

/** Number of codes of `fieldsCode`. */
export const fieldCodes = trafficTypes.length << fieldClasses.length;

/**
 * Which parts an entry carries and which it lacks, as a small number: two bits of traffic type above one bit per field class,
 * so that five counters cost as much as one. `ends` holds the two address tags (0: absent); a port of 0 is absent, as is the
 * port of a relay, which is a region.
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

/** The attribute sets that an entry of this code counts in, one per field class. */
export function fieldObservations(code: number): readonly AttributesOf<"tailscale.network.field.observations">[] {
  const traffic = trafficTypes[code >> fieldClasses.length] ?? "virtual";
  return fieldClasses.map((fieldClass, place) => ({
    "tailscale.traffic_type": traffic,
    field_class: fieldClass,
    state: (code & (1 << place)) === 0 ? "missing" : "present",
  }));
}
