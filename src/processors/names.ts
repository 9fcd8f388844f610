/** Names for addresses: what the directory says, then what a record says about its own nodes, then what the address itself tells. */
import type { PrivacySettings } from "../catalogue/logs.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import type { Address, FlowRecord, NodeClaim } from "../records/types.ts";
import type { Device, DirectoryHolder } from "./directory.ts";

/** What decides about names and attributes beside the record. Plain data. */
export interface NameOptions {
  /** Addresses outside the tailnet are all `external`, and unknown ones inside it `unknown`; else their text is the name. */
  readonly collapseExternal: boolean;
  /** The configured name of the tailnet; empty or absent where it has none. */
  readonly tailnet?: string;
  readonly directory?: DirectoryHolder;
  /** Absent: everything is kept. */
  readonly privacy?: PrivacySettings | undefined;
  /** What of a connection is told apart by the flow metrics; absent: the nodes. */
  readonly dimensions?: FlowDimensions | undefined;
  /** Whether exit traffic is counted by the node that reports it; absent: yes. */
  readonly countsExitNodes?: boolean;
}

export interface FlowDimensions {
  readonly nodes: boolean;
  readonly identity: boolean;
  readonly sourcePort: boolean;
  readonly destinationPort: boolean;
}

/** Stand for addresses that belong to no known node, inside and outside the tailnet's ranges. */
export const unknownName = "unknown";
export const externalName = "external";

/** Begins a name that only a record claims, while there is a directory that does not know it. */
export const unverifiedPrefix = "unverified:";

/** What one record claims about nodes, by canonical address. Used for no other record. */
export type Claims = ReadonlyMap<string, NodeClaim>;

/** The claims of a record; what it says about its own source node wins. */
export function claimsOf(record: FlowRecord): Claims {
  const claims = new Map<string, NodeClaim>();
  for (const node of record.destinationNodes) for (const address of node.addresses) claims.set(address, node);
  if (record.sourceNode !== undefined)
    for (const address of record.sourceNode.addresses) claims.set(address, record.sourceNode);
  return claims;
}

/** The name of an address, in one record. */
export function nameOf(address: Address, claims: Claims, options: NameOptions): string {
  const directory = options.directory?.current;
  const known = directory?.byAddress.get(address.text)?.label;
  if (known !== undefined && known !== "") return known;
  const claimed = claims.get(address.text)?.label;
  if (claimed !== undefined && claimed !== "") return directory === undefined ? claimed : unverified.get(claimed);
  if (!options.collapseExternal) return address.text;
  return address.isOverlay ? unknownName : externalName;
}

/** User, tags and system of an address: the directory's, else the record's. */
export function deviceAt(address: Address, claims: Claims, options: NameOptions): Device | undefined {
  return options.directory?.current?.byAddress.get(address.text) ?? claims.get(address.text);
}

/** The name of the node that reports a record; none where nobody says it. */
export function reporterName({ nodeId, sourceNode }: FlowRecord, options: NameOptions): string | undefined {
  const directory = options.directory?.current;
  const known = directory?.byNodeId.get(nodeId)?.label;
  if (known !== undefined && known !== "") return known;
  if (sourceNode === undefined || sourceNode.nodeId !== nodeId || sourceNode.label === "") return undefined;
  return directory === undefined ? sourceNode.label : unverified.get(sourceNode.label);
}

/** One text object a name, so that its hash is computed once. */
const unverified = new BoundedCache<string, string>(65_536, (label) => unverifiedPrefix + label);
