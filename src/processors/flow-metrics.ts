/** Flow records as metrics: a pure function of the record and the names. */
import { count, type Increments, noSums, type Reached, reachedFrom } from "../catalogue/increments.ts";
import { fieldsCode } from "../catalogue/fields.ts";
import type { FlowRecord } from "../records/types.ts";
import { edgeOf } from "./edges.ts";
import { claimsOf, type NameOptions, reporterName } from "./names.ts";
import { privacyOf } from "./privacy.ts";

/** Adds what a record and its connections count. About 1 µs a connection, most of it for the names. */
export function measureFlow(record: FlowRecord, options: NameOptions, into: Increments): void {
  const claims = claimsOf(record);
  const { fields } = into;
  let reached: Reached | undefined;
  let reachedBy: string | undefined;
  let exits = 0;
  for (const connection of record.connections) {
    const edge = edgeOf(connection, claims, options);
    let sums = into.flows.get(edge);
    if (sums === undefined) into.flows.set(edge, (sums = noSums()));
    sums.entries++;
    sums.txBytes += connection.txBytes;
    sums.rxBytes += connection.rxBytes;
    sums.txPackets += connection.txPackets;
    sums.rxPackets += connection.rxPackets;

    const code = fieldsCode(connection);
    fields[code] = (fields[code] ?? 0) + 1;
    if (connection.traffic === "exit") exits++;

    const { source, destination } = connection;
    const { pair, class: flowClass } = edge;
    if (source === undefined || destination === undefined || flowClass.path === "derp") continue;
    if (reached === undefined || reachedBy !== pair.source) {
      reachedBy = pair.source;
      reached = reachedFrom(into, reachedBy);
    }
    reached.peers.add(pair.peer ?? destination.address.text);
    if (destination.port !== 0) reached.ports.add(destination.port);
  }
  count(into, "tailscale.network.reporter.observations", consistencyAttributes[consistencyOf(record)], 1);
  if (exits > 0 && options.countsExitNodes !== false) countExit(record, options, into);
}

/** Does the record name the node that Tailscale has verified as its own? */
export function consistencyOf({ nodeId, sourceNode }: FlowRecord): "match" | "mismatch" | "missing_reference" {
  if (sourceNode === undefined || sourceNode.nodeId === "") return "missing_reference";
  return sourceNode.nodeId === nodeId ? "match" : "mismatch";
}

const consistencyAttributes = {
  match: { consistency: "match" },
  mismatch: { consistency: "mismatch" },
  missing_reference: { consistency: "missing_reference" },
} as const;

/** Exit traffic, by the node that reports it: by its name, or by its id where nobody names it. */
function countExit(record: FlowRecord, options: NameOptions, into: Increments): void {
  const sums = noSums();
  for (const connection of record.connections) {
    if (connection.traffic !== "exit") continue;
    sums.txBytes += connection.txBytes;
    sums.rxBytes += connection.rxBytes;
    sums.txPackets += connection.txPackets;
    sums.rxPackets += connection.rxPackets;
  }
  const node = exitNodeOf(record, options);
  const transmit = { ...node, "network.io.direction": "transmit" } as const;
  const receive = { ...node, "network.io.direction": "receive" } as const;
  count(into, "tailscale.exit_node.io", transmit, sums.txBytes);
  count(into, "tailscale.exit_node.io", receive, sums.rxBytes);
  count(into, "tailscale.exit_node.packets", transmit, sums.txPackets);
  count(into, "tailscale.exit_node.packets", receive, sums.rxPackets);
}

function exitNodeOf(record: FlowRecord, options: NameOptions): { readonly "tailscale.exit_node"?: string } {
  const name = reporterName(record, options);
  const privacy = options.privacy === undefined ? undefined : privacyOf(options.privacy);
  const shown =
    privacy === undefined
      ? (name ?? record.nodeId)
      : name === undefined
        ? privacy.value("node_ids", record.nodeId)
        : privacy.node(name);
  return shown === undefined ? {} : { "tailscale.exit_node": shown };
}
