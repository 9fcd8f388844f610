/** From the settings to what `measure` and `describe` are told. */
import type { Config } from "../config/schema.ts";
import type { IdentityKey } from "../records/identity.ts";
import type { ProcessorOptions } from "./index.ts";

/** `identityKey` is the journal's: log events are numbered by it when the settings ask for it. */
export function processorOptionsOf(
  { cardinality, collectors, otlp, tailscale }: Config,
  identityKey: IdentityKey,
): ProcessorOptions {
  return {
    collapseExternal: cardinality.flow.collapse_external,
    flowLogMode: collectors.flowlogs.log_mode,
    tailnet: tailscale.tailnet === "-" ? "" : tailscale.tailnet,
    uidKey: otlp.logs.record_uid ? identityKey : undefined,
  };
}
