/** Every log event that can leave, defined once: names, attributes, and what each attribute says about people and machines. */

/** What settings of `privacy` decide about. */
export const privacyCategories = [
  "emails",
  "user_ids",
  "hostnames",
  "node_ids",
  "tailscale_ips",
  "internal_ips",
  "external_ips",
  "tailnet_name",
  "free_text",
] as const;

export type PrivacyCategory = (typeof privacyCategories)[number];

export type PrivacyAction = "keep" | "drop" | "hash";

/** Plain data: the export worker gets a copy. */
export interface PrivacySettings {
  readonly actions: Readonly<Record<PrivacyCategory, PrivacyAction>>;
  /** Keys the hashes; kept in the state directory, so that they stay the same for its whole life. */
  readonly salt: string;
}

/** `node`: a name, an address, or a word for what has none. `address`: by its range. `target`: by the type of the target. */
export type PrivacyRule = PrivacyCategory | "node" | "address" | "target_id" | "target_name";

export interface LogAttributeDefinition {
  readonly type: "text" | "integer" | "boolean" | "text or list";
  readonly description: string;
  /** Absent: says nothing about anybody. */
  readonly privacy?: PrivacyRule;
}

export interface LogDefinition {
  readonly description: string;
  readonly severity: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, LogAttributeDefinition>>;
}

const tailnet = {
  "tailscale.tailnet": {
    type: "text",
    description: "The tailnet's name, where one is configured.",
    privacy: "tailnet_name",
  },
} as const;

const uid = {
  "log.record.uid": { type: "text", description: "The same at every delivery; with `otlp.logs.record_uid`." },
} as const;

const flowLog = {
  ...tailnet,
  "network.transport": { type: "text", description: "`tcp`, `udp`, …; a number where the protocol has no name." },
  "network.type": { type: "text", description: "`ipv4` or `ipv6`, by the first end." },
  "tailscale.traffic_type": { type: "text", description: "`virtual`, `subnet`, `exit` or `physical`." },
  "tailscale.node.id": { type: "text", description: "The reporting node, verified by Tailscale.", privacy: "node_ids" },
  "tailscale.node.hostname": { type: "text", description: "Its name.", privacy: "node" },
  "source.address": { type: "text", description: "The connection's source.", privacy: "address" },
  "source.port": { type: "integer", description: "Its port." },
  "destination.address": {
    type: "text",
    description: "The connection's destination; none over a relay.",
    privacy: "address",
  },
  "destination.port": { type: "integer", description: "Its port." },
  "tailscale.src.node": { type: "text", description: "The name of the source.", privacy: "node" },
  "tailscale.dst.node": { type: "text", description: "The name of the destination.", privacy: "node" },
  "tailscale.dst.service": { type: "text", description: "IANA's name for transport and destination port." },
  "tailscale.path": { type: "text", description: "`direct` or `derp`; physical traffic only." },
  "tailscale.derp.region_id": { type: "integer", description: "The relay's region." },
  "tailscale.tx.bytes": { type: "integer", description: "Bytes sent by the source." },
  "tailscale.rx.bytes": { type: "integer", description: "Bytes received by the source." },
  "tailscale.tx.packets": { type: "integer", description: "Packets sent by the source." },
  "tailscale.rx.packets": { type: "integer", description: "Packets received by the source." },
  "tailscale.connections": {
    type: "integer",
    description: 'Connections of the record; with `log_mode = "per_record"`.',
  },
  "tailscale.reporter.consistency": { type: "text", description: "`match`, `mismatch` or `missing_reference`." },
  "tailscale.flow.window.start": { type: "text", description: "Begin of the window, RFC 3339." },
  "tailscale.flow.window.end": { type: "text", description: "End of the window, RFC 3339." },
  "tailscale.src.user": { type: "text", description: "The source's user.", privacy: "emails" },
  "tailscale.src.tags": { type: "text", description: "The source's tags, sorted, joined by commas." },
  "tailscale.src.os": { type: "text", description: "The source's system." },
  "tailscale.dst.user": { type: "text", description: "The destination's user.", privacy: "emails" },
  "tailscale.dst.tags": { type: "text", description: "The destination's tags." },
  "tailscale.dst.os": { type: "text", description: "The destination's system." },
  ...uid,
} as const satisfies LogDefinition["attributes"];

const auditLog = {
  ...tailnet,
  "tailscale.audit.action": { type: "text", description: "What was done, as received." },
  "tailscale.audit.origin": { type: "text", description: "Where it came from, as received." },
  "tailscale.audit.event_group_id": { type: "text", description: "Shared by all records of one operation." },
  "tailscale.audit.type": { type: "text", description: "The API's own `type`; the stream has none." },
  "tailscale.audit.details": { type: "text", description: "Details of the action.", privacy: "free_text" },
  "tailscale.audit.deferred_at": { type: "text", description: "When it was deferred, as received." },
  "tailscale.audit.diff": {
    type: "text",
    description: "What a change of the policy file removed and added, line by line, at most 4 KiB.",
    privacy: "free_text",
  },
  "tailscale.audit.old": { type: "text", description: "The old value, at most 4 KiB.", privacy: "free_text" },
  "tailscale.audit.new": { type: "text", description: "The new value, at most 4 KiB.", privacy: "free_text" },
  "user.id": { type: "text", description: "The actor's id.", privacy: "user_ids" },
  "user.name": { type: "text", description: "The actor's login.", privacy: "emails" },
  "user.full_name": { type: "text", description: "The actor's name.", privacy: "emails" },
  "tailscale.actor.type": { type: "text", description: "What the actor is, as received." },
  "tailscale.actor.tags": { type: "text", description: "The actor's tags." },
  "tailscale.target.id": { type: "text", description: "The target's id.", privacy: "target_id" },
  "tailscale.target.name": { type: "text", description: "The target's name.", privacy: "target_name" },
  "tailscale.target.type": { type: "text", description: "What the target is, as received." },
  "tailscale.target.property": { type: "text", description: "What of it was changed, as received." },
  "tailscale.target.ephemeral": { type: "boolean", description: "Whether the target is an ephemeral node." },
  "error.message": { type: "text", description: "Why the action failed.", privacy: "free_text" },
  ...uid,
} as const satisfies LogDefinition["attributes"];

const webhookLog = {
  ...tailnet,
  "tailscale.webhook.type": { type: "text", description: "The event's type, as received." },
  "tailscale.webhook.node.id": { type: "text or list", description: "`data.nodeID`.", privacy: "node_ids" },
  "tailscale.webhook.node.device.name": { type: "text or list", description: "`data.deviceName`.", privacy: "node" },
  "tailscale.webhook.node.managed_by": { type: "text or list", description: "`data.managedBy`.", privacy: "emails" },
  "tailscale.webhook.actor": { type: "text or list", description: "`data.actor`.", privacy: "emails" },
  "tailscale.webhook.url": { type: "text or list", description: "`data.url`.", privacy: "free_text" },
  "tailscale.webhook.key.expiration": { type: "text or list", description: "`data.expiration`." },
  "tailscale.webhook.user": { type: "text or list", description: "`data.user`.", privacy: "emails" },
  "tailscale.webhook.old_roles": { type: "text or list", description: "`data.oldRoles`." },
  "tailscale.webhook.new_roles": { type: "text or list", description: "`data.newRoles`." },
  ...uid,
} as const satisfies LogDefinition["attributes"];

export const logs = {
  "tailscale.network.flow": {
    description:
      "One for each connection of a flow record, or one for the record (`collectors.flowlogs.log_mode`). Its time is the begin of the window.",
    severity: "INFO",
    body: "`<transport> <traffic> <source> -> <destination> tx=<n>B rx=<n>B`, or `node <id>: <n> connections tx=<n>B rx=<n>B`",
    attributes: flowLog,
  },
  "tailscale.config.audit": {
    description: "One for each configuration audit record.",
    severity: "WARN where the action failed, else INFO",
    body: "`<ACTION> on <TARGET TYPE>[.<PROPERTY>] via <ORIGIN>`",
    attributes: auditLog,
  },
  "tailscale.webhook.<type>": {
    description:
      "One per webhook event. Its name ends with the event's type, or with `other` if the type is not a known one.",
    severity: "WARN for what asks somebody to act or takes something away, else INFO",
    body: "the event's `message`",
    attributes: webhookLog,
  },
} as const satisfies Record<string, LogDefinition>;

type Logs = typeof logs;

/** The attributes that a log event may carry, each of which may be absent. */
export type AttributesOfLog<Name extends keyof Logs> = {
  -readonly [Key in keyof Logs[Name]["attributes"]]?: Logs[Name]["attributes"][Key] extends { type: "integer" }
    ? number
    : Logs[Name]["attributes"][Key] extends { type: "boolean" }
      ? boolean
      : Logs[Name]["attributes"][Key] extends { type: "text or list" }
        ? string | readonly string[]
        : string;
};
