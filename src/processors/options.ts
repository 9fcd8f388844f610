/** From the settings to what `measure` and `describe` are told. */
import { type PrivacySettings, privacyCategories } from "../catalogue/logs.ts";
import type { Config } from "../config/schema.ts";
import type { IdentityKey } from "../records/identity.ts";
import type { ProcessorOptions } from "./index.ts";
import type { FlowDimensions } from "./names.ts";

/** What the journal keeps for its whole life. */
export interface ProcessorSecrets {
  /** Log events are numbered by it when the settings ask for it. */
  readonly identityKey: IdentityKey;
  /** Keys the hashes of `privacy`. */
  readonly privacySalt: string;
}

export function processorOptionsOf(config: Config, { identityKey, privacySalt }: ProcessorSecrets): ProcessorOptions {
  const { cardinality, collectors, otlp, tailscale } = config;
  const dimensions = dimensionsOf(config);
  const privacy = privacyOf(config, privacySalt);
  return {
    collapseExternal: cardinality.flow.collapse_external,
    countsExitNodes: cardinality.flow.exit_node_attribution,
    flowLogMode: collectors.flowlogs.log_mode,
    tailnet: tailscale.tailnet === "-" ? "" : tailscale.tailnet,
    uidKey: otlp.logs.record_uid ? identityKey : undefined,
    directory: { current: undefined },
    ...(dimensions === undefined ? {} : { dimensions }),
    ...(privacy === undefined ? {} : { privacy }),
  };
}

/** Nothing where only the nodes are told apart, which is the fast way. Ports are no part of a roll-up. */
function dimensionsOf({ cardinality: { flow } }: Config): FlowDimensions | undefined {
  const hasPorts = flow.metrics_mode !== "rollup";
  const dimensions = {
    nodes: flow.node_dims,
    identity: flow.identity_dims,
    sourcePort: hasPorts && flow.source_port,
    destinationPort: hasPorts && flow.destination_port,
  };
  const isPlain = dimensions.nodes && !dimensions.identity && !dimensions.sourcePort && !dimensions.destinationPort;
  return isPlain ? undefined : dimensions;
}

/** Nothing where everything is kept. */
function privacyOf({ privacy }: Config, salt: string): PrivacySettings | undefined {
  return privacyCategories.every((category) => privacy[category] === "keep") ? undefined : { actions: privacy, salt };
}
