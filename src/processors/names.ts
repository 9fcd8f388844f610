/** What decides how records leave: the settings of the processors, the device directory, and how nodes are named. */
import { type PrivacySettings, privacyCategories } from "../catalogue/logs.ts";
import type { Config } from "../config/schema.ts";
import { parseIpv4 } from "../records/address.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import type { FlowColumns } from "../records/flow/columns.ts";

/** How many log records a flow record becomes. */
export type FlowLogMode = Config["collectors"]["flowlogs"]["log_mode"];

/** What the processors need of the configuration. Plain data: the export worker gets a copy. */
export interface ProcessorSettings {
  /** Unnamed addresses are `unknown` inside the tailnet's ranges and `external` elsewhere; otherwise their text is the name. */
  readonly collapseExternal: boolean;
  /** Whether exit traffic is counted by the node that reports it. */
  readonly countsExitNodes: boolean;
  readonly flowLogMode: FlowLogMode;
  /** The configured name of the tailnet; empty if there is none. */
  readonly tailnet: string;
  /** None until it has been read for the first time. */
  readonly directory: { current: Directory | undefined };
  /** What flow metrics tell apart. */
  readonly dimensions: {
    readonly nodes: boolean;
    readonly identity: boolean;
    readonly sourcePort: boolean;
    readonly destinationPort: boolean;
  };
  /** Absent: everything is kept. */
  readonly privacy: PrivacySettings | undefined;
  /** Keys `log.record.uid` (hexadecimal, and the tailnet's number); absent: log records have none. */
  readonly recordUid: { readonly secret: string; readonly tailnet: number } | undefined;
}

/** What the API says about one node. */
export interface Device {
  readonly nodeId: string;
  /** The first DNS label of its name, which is what people call it; may be empty. */
  readonly label: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

/** What the API says about nodes, which no record can contradict. Plain data. */
export interface Directory {
  /** By IPv4 address as an unsigned 32-bit number. */
  readonly byIpv4: ReadonlyMap<number, Device>;
  /** By the canonical text of any other address. */
  readonly byText: ReadonlyMap<string, Device>;
  readonly byNodeId: ReadonlyMap<string, Device>;
}

/** Names of addresses that belong to no known node, inside and outside the tailnet's ranges. */
export const unknownName = "unknown";
export const externalName = "external";

/** Begins a name that only a record claims, while there is a directory that does not know it. */
export const unverifiedPrefix = "unverified:";

/** What the journal keeps for its whole life. */
export interface ProcessorSecrets {
  /** Hexadecimal; keys `log.record.uid`. */
  readonly identitySecret: string;
  /** The tailnet's number in the journal. */
  readonly tailnet: number;
  /** Hexadecimal; keys the hashes of what privacy hides. */
  readonly privacySalt: string;
}

/** The settings as the processors need them, with the secrets that the journal keeps. The directory is empty. */
export function processorSettingsOf(
  config: Config,
  { identitySecret, tailnet, privacySalt }: ProcessorSecrets,
): ProcessorSettings {
  const { cardinality, collectors, otlp, privacy, tailscale } = config;
  const { flow } = cardinality;
  // A roll-up has no ports.
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

/** A directory of these devices. An address that two of them have belongs to the later one. */
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

/** The name that the directory or the record itself gives a node; nothing if neither does. */
export function nodeName(
  device: Pick<Device, "label"> | undefined,
  claim: Pick<NodeClaim, "label"> | undefined,
  { directory }: ProcessorSettings,
): string | undefined {
  if (device !== undefined && device.label !== "") return device.label;
  if (claim === undefined || claim.label === "") return undefined;
  return directory.current === undefined ? claim.label : unverifiedPrefix + claim.label;
}

/** The name of the node that reports a record; nothing if nobody says it. */
export function reporterName(columns: FlowColumns, record: number, settings: ProcessorSettings): string | undefined {
  const nodeId = columns.nodeId[record] as string;
  const claim = columns.sourceNode[record];
  const device = settings.directory.current?.byNodeId.get(nodeId);
  return nodeName(device, claim?.nodeId === nodeId ? claim : undefined, settings);
}
