/** Processor settings, the device directory, and how nodes are named from directory and record. */
import { type PrivacySettings, privacyCategories } from "../catalogue/logs.ts";
import { type Config, tailnetName } from "../config/index.ts";
import { parseIpv4 } from "../records/address.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import type { FlowColumns } from "../records/flow/columns.ts";

/** How many log records a flow record becomes. */
export type FlowLogMode = Config["collectors"]["flowlogs"]["log_mode"];

/** The configuration of the processors. Plain data, copied to the export worker. */
export interface ProcessorSettings {
  /** Unnamed addresses are `unknown` in the tailnet's ranges and `external` elsewhere; otherwise they are their own names. */
  readonly collapseExternal: boolean;
  /** Whether exit traffic is attributed to exit nodes. */
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

/** A node according to the API. */
export interface Device {
  readonly nodeId: string;
  /** The first DNS label of its name; may be empty. */
  readonly label: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

/** All nodes according to the API, which takes precedence over claims in records. Plain data. */
export interface Directory {
  /** By IPv4 address as an unsigned 32-bit number. */
  readonly byIpv4: ReadonlyMap<number, Device>;
  /** By the canonical text of any other address. */
  readonly byText: ReadonlyMap<string, Device>;
  readonly byNodeId: ReadonlyMap<string, Device>;
}

/** Names of unnamed addresses inside and outside the tailnet's ranges. */
export const unknownName = "unknown";
export const externalName = "external";

/** Prefix of a name that only a record claims while a directory is loaded. */
export const unverifiedPrefix = "unverified:";

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

/** Builds a directory. An address of two devices belongs to the later one. */
export function directoryOf(devices: readonly Device[]): Directory {
  const byIpv4 = new Map<number, Device>();
  const byText = new Map<string, Device>();
  const byNodeId = new Map<string, Device>();
  for (const device of devices) {
    byNodeId.set(device.nodeId, device);
    for (const text of device.addresses) {
      const ipv4 = parseIpv4(text);
      if (ipv4 === undefined) byText.set(text, device);
      else byIpv4.set(ipv4, device);
    }
  }
  return { byIpv4, byText, byNodeId };
}

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
