/** Names for addresses: what a record says about its own nodes, then what the address itself tells. */
import type { Address, FlowRecord, NodeClaim } from "../records/types.ts";

/** What decides about names beside the record. */
export interface NameOptions {
  /** Addresses outside the tailnet are all `external`, and unknown ones inside it `unknown`; else their text is the name. */
  readonly collapseExternal: boolean;
}

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

/** The name that an address is exported with, in one record. */
export function nameOf(address: Address, claims: Claims, options: NameOptions): string {
  const label = claims.get(address.text)?.label;
  if (label !== undefined && label !== "") return label;
  if (!options.collapseExternal) return address.text;
  return address.isOverlay ? "unknown" : "external";
}
