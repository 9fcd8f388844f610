/** The configuration of the processors. */
import { type PrivacySettings, privacyCategories } from "../catalogue/logs.ts";
import { type Config, tailnetName } from "../config/index.ts";
import type { Directory } from "./directory.ts";

/** How many log records a flow record becomes. */
export type FlowLogMode = Config["collectors"]["flowlogs"]["log_mode"];

/** The configuration of the processors. Plain data, copied to the export worker. */
export interface ProcessorSettings {
  /** Unnamed addresses are `unknown` in the tailnet's ranges and `external` elsewhere; otherwise they are their own names. */
  readonly collapseExternal: boolean;
  /** True if exit traffic is attributed to exit nodes. */
  readonly countsExitNodes: boolean;
  readonly flowLogMode: FlowLogMode;
  /** The configured name of the tailnet; may be empty. */
  readonly tailnet: string;
  /** Undefined until it is first loaded. */
  readonly directory: { current: Directory | undefined };
  /** The dimensions of flow metrics. */
  readonly dimensions: {
    readonly nodes: boolean;
    readonly identity: boolean;
    readonly sourcePort: boolean;
    readonly destinationPort: boolean;
  };
  /** Undefined: nothing is dropped or hashed. */
  readonly privacy: PrivacySettings | undefined;
  /** Keys `log.record.uid` (hexadecimal, and the tailnet's number); undefined: log records have none. */
  readonly recordUid: { readonly secret: string; readonly tailnet: number } | undefined;
}

/** Secrets that the journal creates once. */
export interface ProcessorSecrets {
  /** Hexadecimal; keys `log.record.uid`. */
  readonly identitySecret: string;
  /** The tailnet's number in the journal. */
  readonly tailnet: number;
  /** Hexadecimal; salts the hashes that replace private values. */
  readonly privacySalt: string;
}

/** The processor settings from the configuration, without a directory. */
export function processorSettingsOf(
  config: Config,
  { identitySecret, tailnet, privacySalt }: ProcessorSecrets,
): ProcessorSettings {
  const { cardinality, collectors, otlp, privacy } = config;
  const { flow } = cardinality;
  // Rollups have no ports.
  const hasPorts = flow.metrics_mode !== "rollup";
  const keepsAll = privacyCategories.every((category) => privacy[category] === "keep");
  return {
    collapseExternal: flow.collapse_external,
    countsExitNodes: flow.exit_node_attribution,
    flowLogMode: collectors.flowlogs.log_mode,
    tailnet: tailnetName(config),
    directory: { current: undefined },
    dimensions: {
      nodes: flow.node_dims,
      identity: flow.identity_dims,
      sourcePort: hasPorts && flow.source_port,
      destinationPort: hasPorts && flow.destination_port,
    },
    privacy: keepsAll ? undefined : { actions: privacy, salt: privacySalt },
    recordUid: otlp.logs.record_uid ? { secret: identitySecret, tailnet } : undefined,
  };
}
