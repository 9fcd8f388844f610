/** How nodes are named: the settings of the processors, the device directory, and names by directory and record. */
import { type PrivacySettings, privacyCategories } from "../catalogue/logs.ts";
import type { Config } from "../config/schema.ts";
import { parseIpv4 } from "../records/address.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import type { FlowColumns } from "../records/flow/columns.ts";

/** How many log records a flow record becomes. */
export type FlowLogMode = Config["collectors"]["flowlogs"]["log_mode"];

/** The configuration as the processors need it. Plain data: the export worker gets a copy. */
export interface ProcessorSettings {
  /** Unnamed addresses are `unknown` in the tailnet's ranges and `external` elsewhere; otherwise they are their own names. */
  readonly collapseExternal: boolean;
  /** Whether exit traffic is counted by exit node. */
  readonly countsExitNodes: boolean;
  readonly flowLogMode: FlowLogMode;
  /** The configured name of the tailnet; may be empty. */
  readonly tailnet: string;
  /** Undefined until it has been read for the first time. */
  readonly directory: { current: Directory | undefined };
  /** The dimensions of flow metrics. */
  readonly dimensions: {
    readonly nodes: boolean;
    readonly identity: boolean;
    readonly sourcePort: boolean;
    readonly destinationPort: boolean;
  };
  /** Undefined: everything is kept. */
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

/** All nodes according to the API, which no record can contradict. Plain data. */
export interface Directory {
  /** By IPv4 address as an unsigned 32-bit number. */
  readonly byIpv4: ReadonlyMap<number, Device>;
  /** By the canonical text of any other address. */
  readonly byText: ReadonlyMap<string, Device>;
  readonly byNodeId: ReadonlyMap<string, Device>;
}

/** Names of addresses of no known node, in and outside the tailnet's ranges. */
export const unknownName = "unknown";
export const externalName = "external";

/** Prefix of a name that only a record claims although a directory is loaded. */
export const unverifiedPrefix = "unverified:";

/** Secrets that the journal creates once. */
export interface ProcessorSecrets {
  /** Hexadecimal; keys `log.record.uid`. */
  readonly identitySecret: string;
  /** The tailnet's number in the journal. */
  readonly tailnet: number;
  /** Hexadecimal; keys the hashes of what privacy hides. */
  readonly privacySalt: string;
}

/** The settings of the processors, with an empty directory. */
export function processorSettingsOf(
  config: Config,
  { identitySecret, tailnet, privacySalt }: ProcessorSecrets,
): ProcessorSettings {
  const { cardinality, collectors, otlp, privacy, tailscale } = config;
  const { flow } = cardinality;
  // Rollups have no ports.
  const hasPorts = flow.metrics_mode !== "rollup";
  const keepsAll = privacyCategories.every((category) => privacy[category] === "keep");
  return {
    collapseExternal: flow.collapse_external,
    countsExitNodes: flow.exit_node_attribution,
    flowLogMode: collectors.flowlogs.log_mode,
    tailnet: tailscale.tailnet === "-" ? "" : tailscale.tailnet,
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

/** A directory of these devices; an address of two devices belongs to the later one. */
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

/** A node's name by the directory, else by the record itself, if either names it. */
export function nodeName(
  device: Pick<Device, "label"> | undefined,
  claim: Pick<NodeClaim, "label"> | undefined,
  { directory }: ProcessorSettings,
): string | undefined {
  if (device !== undefined && device.label !== "") return device.label;
  if (claim === undefined || claim.label === "") return undefined;
  return directory.current === undefined ? claim.label : unverifiedPrefix + claim.label;
}

/** The name of the node that reports a record, if known. */
export function reporterName(columns: FlowColumns, record: number, settings: ProcessorSettings): string | undefined {
  const nodeId = columns.nodeId[record] as string;
  const claim = columns.sourceNode[record];
  const device = settings.directory.current?.byNodeId.get(nodeId);
  return nodeName(device, claim?.nodeId === nodeId ? claim : undefined, settings);
}
