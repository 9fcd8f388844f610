/** Every log record that can be sent, defined once: names, attributes, and what each attribute reveals about people and machines. */
import { words } from "./definition.ts";

/** The categories of values that the `privacy` settings apply to. */
export const privacyCategories = words(
  "emails user_ids hostnames node_ids tailscale_ips internal_ips external_ips tailnet_name free_text",
);

export type PrivacyCategory = (typeof privacyCategories)[number];

/** Plain data: the export worker gets a copy. */
export interface PrivacySettings {
  readonly actions: Readonly<Record<PrivacyCategory, "keep" | "drop" | "hash">>;
  /** Keys the hashes; kept in the state directory, so that hashes stay the same for as long as it exists. */
  readonly salt: string;
}

/** `node`: a name, an address, or a word for neither. `address`: by its range. `target_…`: by the type of the target. */
export type PrivacyRule = PrivacyCategory | "node" | "address" | "target_id" | "target_name";

export interface LogAttributeDefinition {
  readonly type: "text" | "integer" | "boolean" | "text or list";
  readonly description: string;
  /** Absent if the attribute reveals nothing about anybody. */
  readonly privacy?: PrivacyRule | undefined;
}

export interface LogDefinition {
  readonly description: string;
  readonly severity: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, LogAttributeDefinition>>;
}

const text = definer("text");
const integer = definer("integer");
const boolean = definer("boolean");
const texts = definer("text or list");

function definer<const Type extends LogAttributeDefinition["type"]>(type: Type) {
  return (description: string, privacy?: PrivacyRule) => ({ type, description, privacy }) as const;
}

const common = {
  "tailscale.tailnet": text("The tailnet's name, if configured.", "tailnet_name"),
  "log.record.uid": text("The same for every delivery of this log record; requires `otlp.logs.record_uid`."),
};

const flowLog = {
  ...common,
  "network.transport": text("`tcp`, `udp`, …; the protocol number if it has no name."),
  "network.type": text("`ipv4` or `ipv6`, from the source, else from the destination."),
  "tailscale.traffic_type": text("`virtual`, `subnet`, `exit` or `physical`."),
  "tailscale.node.id": text("The id of the reporting node, verified by Tailscale.", "node_ids"),
  "tailscale.node.hostname": text("The name of the reporting node.", "node"),
  "source.address": text("The source's address.", "address"),
  "source.port": integer("The source's port."),
  "destination.address": text("The destination's address; absent for relayed traffic.", "address"),
  "destination.port": integer("The destination's port."),
  "tailscale.src.node": text("The source's name.", "node"),
  "tailscale.dst.node": text("The destination's name.", "node"),
  "tailscale.dst.service": text("IANA's service name for the transport and destination port."),
  "tailscale.path": text("`direct` or `derp`; only for physical traffic."),
  "tailscale.derp.region_id": integer("The DERP region of the relay."),
  "tailscale.tx.bytes": integer("Bytes sent by the source."),
  "tailscale.rx.bytes": integer("Bytes received by the source."),
  "tailscale.tx.packets": integer("Packets sent by the source."),
  "tailscale.rx.packets": integer("Packets received by the source."),
  "tailscale.connections": integer('Connections in the record; only with `log_mode = "per_record"`.'),
  "tailscale.reporter.consistency": text(
    "`match`, `mismatch` or `missing_reference`: whether `srcNode` is the verified node.",
  ),
  "tailscale.flow.window.start": text("Start of the window, RFC 3339."),
  "tailscale.flow.window.end": text("End of the window, RFC 3339."),
  "tailscale.src.user": text("The source's user.", "emails"),
  "tailscale.src.tags": text("The source's tags, sorted and comma-separated."),
  "tailscale.src.os": text("The source's operating system."),
  "tailscale.dst.user": text("The destination's user.", "emails"),
  "tailscale.dst.tags": text("The destination's tags, sorted and comma-separated."),
  "tailscale.dst.os": text("The destination's operating system."),
};

const auditLog = {
  ...common,
  "tailscale.audit.action": text("The action, as received."),
  "tailscale.audit.origin": text("Where the change was made, as received."),
  "tailscale.audit.event_group_id": text("The same for all records of one operation."),
  "tailscale.audit.type": text("The record's `type`; only from the API."),
  "tailscale.audit.details": text("Details of the action.", "free_text"),
  "tailscale.audit.deferred_at": text("The time the action was deferred to, as received."),
  "tailscale.audit.diff": text("Line diff of a policy change, at most 4 KiB.", "free_text"),
  "tailscale.audit.old": text("The old value as received, at most 4 KiB.", "free_text"),
  "tailscale.audit.new": text("The new value as received, at most 4 KiB.", "free_text"),
  "user.id": text("The actor's id.", "user_ids"),
  "user.name": text("The actor's login name.", "emails"),
  "user.full_name": text("The actor's display name.", "emails"),
  "tailscale.actor.type": text("The actor's type, as received."),
  "tailscale.actor.tags": text("The actor's tags, sorted and comma-separated."),
  "tailscale.target.id": text("The target's id.", "target_id"),
  "tailscale.target.name": text("The target's name.", "target_name"),
  "tailscale.target.type": text("The target's type, as received."),
  "tailscale.target.property": text("The changed property, as received."),
  "tailscale.target.ephemeral": boolean("Whether the target is an ephemeral node."),
  "error.message": text("Why the action failed.", "free_text"),
};

const webhookLog = {
  ...common,
  "tailscale.webhook.type": text("The event's type, as received."),
  "tailscale.webhook.node.id": texts("`data.nodeID`.", "node_ids"),
  "tailscale.webhook.node.device.name": texts("`data.deviceName`.", "node"),
  "tailscale.webhook.node.managed_by": texts("`data.managedBy`.", "emails"),
  "tailscale.webhook.actor": texts("`data.actor`.", "emails"),
  "tailscale.webhook.url": texts("`data.url`.", "free_text"),
  "tailscale.webhook.key.expiration": texts("`data.expiration`."),
  "tailscale.webhook.user": texts("`data.user`.", "emails"),
  "tailscale.webhook.old_roles": texts("`data.oldRoles`."),
  "tailscale.webhook.new_roles": texts("`data.newRoles`."),
};

export const logs = {
  "tailscale.network.flow": {
    description:
      "One log record per connection of a flow record, or one per flow record (`collectors.flowlogs.log_mode`). Its time is the start of the window.",
    severity: "INFO",
    body: "`<transport> <traffic> <source> -> <destination> tx=<n>B rx=<n>B`, or `node <id>: <n> connections tx=<n>B rx=<n>B`",
    attributes: flowLog,
  },
  "tailscale.config.audit": {
    description: "One log record per configuration audit record.",
    severity: "WARN if the action failed, else INFO",
    body: "`<ACTION> on <TARGET TYPE>[.<PROPERTY>] via <ORIGIN>`",
    attributes: auditLog,
  },
  "tailscale.webhook.<type>": {
    description:
      "One log record per webhook event. Its name ends with the event's type, or with `other` if the type is unknown.",
    severity: "WARN if the event requires action or removes something, else INFO",
    body: "the event's `message`",
    attributes: webhookLog,
  },
} as const satisfies Record<string, LogDefinition>;

type Logs = typeof logs;

interface ValueOf {
  readonly text: string;
  readonly integer: number;
  readonly boolean: boolean;
  readonly "text or list": string | readonly string[];
}

/** The attributes that a log record may carry; each may be absent. */
export type AttributesOfLog<Name extends keyof Logs> = {
  -readonly [Key in keyof Logs[Name]["attributes"]]?: Logs[Name]["attributes"][Key] extends {
    type: infer Type extends keyof ValueOf;
  }
    ? ValueOf[Type]
    : never;
};
