/** Decodes and validates network flow records, by hand, since every entry of every record passes here. */
import type { HrTime } from "../lib/clock.ts";
import { parseEndpoint } from "./address.ts";
import { Defect } from "./defect.ts";
import { isObject, objectMember, stringMember, timeMember, wrongType } from "./members.ts";
import { decodeNode } from "./node-claim.ts";
import { protocolNumber } from "./protocol-number.ts";
import type { Connection, Endpoint, FlowRecord, NodeClaim, RawRecord, TrafficType } from "./types.ts";

/**
 * The record of a flow's parsed JSON. Zero and empty members are absent on the wire and get their zero here.
 * @throws {Defect} for a member of the wrong type, or a record that makes no sense.
 */
export function decodeFlow({ value, recorded }: Pick<RawRecord, "value" | "recorded">): FlowRecord {
  const start = timeMember(value, "start");
  const end = timeMember(value, "end");
  if (start !== undefined && end !== undefined && isBefore(end, start)) {
    throw new Defect("inverted_window", "the window ends before it starts");
  }
  const sourceNode = objectMember(value, "srcNode");
  const connections: Connection[] = [];
  decodeConnections(value["virtualTraffic"], "virtual", connections);
  decodeConnections(value["subnetTraffic"], "subnet", connections);
  decodeConnections(value["exitTraffic"], "exit", connections);
  decodeConnections(value["physicalTraffic"], "physical", connections);
  return {
    type: "flow",
    nodeId: stringMember(value, "nodeId"),
    start,
    end,
    recorded: timeMember(value, "logged") ?? recorded,
    sourceNode: sourceNode === undefined ? undefined : decodeNode(sourceNode),
    destinationNodes: decodeNodes(value["dstNodes"]),
    connections,
  };
}

const noNodes: readonly NodeClaim[] = [];

function decodeNodes(nodes: unknown): readonly NodeClaim[] {
  if (nodes === undefined || nodes === null) return noNodes;
  if (!Array.isArray(nodes)) throw wrongType("dstNodes", "a list", nodes);
  return nodes.map((node: unknown) => {
    if (!isObject(node)) throw wrongType("dstNodes[]", "an object", node);
    return decodeNode(node);
  });
}

function decodeConnections(list: unknown, traffic: TrafficType, into: Connection[]): void {
  if (list === undefined || list === null) return;
  if (!Array.isArray(list)) throw wrongType(`${traffic}Traffic`, "a list", list);
  for (const entry of list as unknown[]) {
    if (!isObject(entry)) throw wrongType(`${traffic}Traffic[]`, "an object", entry);
    into.push({
      traffic,
      protocol: protocolNumber(entry["proto"]),
      source: decodeEndpoint(entry["src"]),
      destination: decodeEndpoint(entry["dst"]),
      txPackets: counter(entry["txPkts"]),
      txBytes: counter(entry["txBytes"]),
      rxPackets: counter(entry["rxPkts"]),
      rxBytes: counter(entry["rxBytes"]),
    });
  }
}

function decodeEndpoint(text: unknown): Endpoint | undefined {
  if (typeof text === "string") return text === "" ? undefined : parseEndpoint(text);
  if (text === undefined || text === null) return undefined;
  throw wrongType("src or dst", "a string", text);
}

/** Unsigned on the wire; above 2⁵³−1 no interface could have carried it in a window. */
function counter(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value !== "number") throw wrongType("a counter", "a number", value);
  if (value < 0) throw new Defect("negative_counters", `a counter is negative: ${value}`);
  if (value > Number.MAX_SAFE_INTEGER) throw new Defect("oversized_counters", `a counter is above 2^53-1: ${value}`);
  if (!Number.isInteger(value)) throw new Defect("decode_error", `a counter is not an integer: ${value}`);
  return value + 0;
}

function isBefore(a: HrTime, b: HrTime): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
