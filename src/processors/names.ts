/** Names nodes from the directory and the record. */
import type { NodeClaim } from "../records/flow/claims.ts";
import type { FlowColumns } from "../records/flow/columns.ts";
import type { Device } from "./directory.ts";
import type { ProcessorSettings } from "./settings.ts";

/** Names of unnamed addresses inside and outside the tailnet's ranges. */
export const unknownName = "unknown";
export const externalName = "external";

/** Prefix of a name that only a record claims while a directory is loaded. */
export const unverifiedPrefix = "unverified:";

/** A node's name according to the directory, otherwise to the record, if either has one. */
export function nodeName(
  device: Pick<Device, "label"> | undefined,
  claim: Pick<NodeClaim, "label"> | undefined,
  { directory }: ProcessorSettings,
): string | undefined {
  if (device !== undefined && device.label !== "") return device.label;
  if (claim === undefined || claim.label === "") return undefined;
  return directory.current === undefined ? claim.label : unverifiedPrefix + claim.label;
}

/** The name of a record's reporting node, if known. */
export function reporterName(columns: FlowColumns, record: number, settings: ProcessorSettings): string | undefined {
  const nodeId = columns.nodeId[record] as string;
  const claim = columns.sourceNode[record];
  const device = settings.directory.current?.byNodeId.get(nodeId);
  return nodeName(device, claim?.nodeId === nodeId ? claim : undefined, settings);
}
