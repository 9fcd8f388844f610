/** The reference page of everything that leaves, made of the catalogue. */
import type { AttributeDomain, MetricDefinition } from "./definition.ts";
import { type LogAttributeDefinition, type LogDefinition, logs } from "./logs.ts";
import { type MetricName, metrics } from "./metrics.ts";
import { prometheusLabel, prometheusName } from "./prometheus-name.ts";
import { exampleQuery } from "./queries.ts";

/** `docs/signals.md`, as Markdown. */
export function signalsPage(): string {
  return [introduction, ...groups.map(groupText), logsText()].join("\n\n");
}

const introduction = `# Signals

Every metric and log event that this program sends. This page is made of \`src/catalogue\`: what is not here is not sent.

- **Names.** A metric has its OpenTelemetry name, and in Prometheus the one below it: the same by OTLP and from \`/metrics\` on the admin
  listener. In attribute names every character that Prometheus does not take becomes \`_\`.
- **On every point and log event**: the attribute \`tailscale.tailnet\`, where the setting of that name has one; else a webhook's own name
  on what comes from it.
- **Resource**: \`service.name\`, \`service.instance.id\`, \`os.type\`, \`telemetry.sdk.*\`, what \`resource.attributes\` adds, and on logs \`host.name\`.
  The version is no part of it, since every upgrade would begin all series anew: see \`tailscale2otel.build_info\`.
- **Exact** counters are sums over accepted records. They survive restarts and crashes without a reset, a record that comes twice counts
  once, and each series has a start time of its own. A new series begins with a point of 0 just before its first value, so that
  \`increase()\` and \`rate()\` see that value; a series without news for \`cardinality.series_ttl\` ends.
- **Process** metrics begin with the process.
- **Bounds.** Past \`cardinality.metric_limit\` series of a metric, new attribute sets are added up in one with
  \`otel.metric.overflow="true"\`, which keeps its direction. Totals stay exact.
- **Privacy.** Attributes marked in the tables of logs, and the names of nodes on metrics, are kept, dropped or hashed as \`privacy.*\` says.
- Attributes are absent where a record says nothing; an empty value is never sent.`;

interface Group {
  readonly title: string;
  readonly holds: (name: string) => boolean;
}

const groups: readonly Group[] = [
  {
    title: "Network flows",
    holds: (name) => name.startsWith("tailscale.network.") || name.startsWith("tailscale.exit_node."),
  },
  { title: "Configuration audit", holds: (name) => name.startsWith("tailscale.config.") },
  { title: "Webhooks", holds: (name) => name.startsWith("tailscale.webhook.") },
  { title: "Stream receiver", holds: (name) => name.startsWith("tailscale.stream.") },
  { title: "The program", holds: (name) => name.startsWith("tailscale2otel.") || name.startsWith("process.") },
];

function groupText({ title, holds }: Group): string {
  const found = (Object.entries(metrics) as [MetricName, MetricDefinition][]).filter(([name]) => holds(name));
  return [`## ${title}`, ...found.map(([name, definition]) => metricText(name, definition))].join("\n\n");
}

function metricText(name: MetricName, definition: MetricDefinition): string {
  const { origin, kind, unit, description, attributes, buckets } = definition;
  const kept = origin === "ledger" ? "exact" : "process";
  const bounds = buckets === undefined ? [] : [`Buckets: ${buckets.join(", ")}.`];
  const rows = Object.entries(attributes).map(
    ([attribute, domain]) => `| \`${attribute}\` | \`${prometheusLabel(attribute)}\` | ${domainText(domain)} |`,
  );
  const table =
    rows.length === 0 ? [] : [["| attribute | label | values |", "| --- | --- | --- |", ...rows].join("\n")];
  return [
    `### \`${name}\``,
    `\`${prometheusName(name, definition)}\` · ${kept} ${kindNames[kind]} · unit \`${unit}\``,
    [description, ...bounds].join(" "),
    ...table,
    `\`\`\`promql\n${exampleQuery(name, definition)}\n\`\`\``,
  ].join("\n\n");
}

const kindNames: Readonly<Record<MetricDefinition["kind"], string>> = {
  counter: "counter",
  total: "counter",
  gauge: "gauge",
  updown: "up-down counter",
  histogram: "histogram",
};

function domainText(domain: AttributeDomain): string {
  if (domain === "text") return "text";
  if ("maxOthers" in domain) {
    const known = domain.known.map((word) => `\`${word}\``).join(" ");
    return `${known === "" ? "" : `${known}, and `}up to ${domain.maxOthers} others as they come in, then \`other\``;
  }
  return domain.map((word) => `\`${word}\``).join(" ");
}

function logsText(): string {
  return ["## Logs", ...Object.entries(logs).map(([name, definition]) => logText(name, definition))].join("\n\n");
}

function logText(name: string, { description, severity, body, attributes }: LogDefinition): string {
  const rows = Object.entries(attributes).map(([attribute, definition]) => attributeRow(attribute, definition));
  return [
    `### \`${name}\``,
    description,
    `- Severity: ${severity}\n- Body: ${body}`,
    ["| attribute | type | what | `privacy` |", "| --- | --- | --- | --- |", ...rows].join("\n"),
  ].join("\n\n");
}

function attributeRow(name: string, { type, description, privacy }: LogAttributeDefinition): string {
  return `| \`${name}\` | ${type} | ${description} | ${privacy === undefined ? "" : privacyText[privacy]} |`;
}

const privacyText: Readonly<Record<NonNullable<LogAttributeDefinition["privacy"]>, string>> = {
  emails: "emails",
  user_ids: "user_ids",
  hostnames: "hostnames",
  node_ids: "node_ids",
  tailscale_ips: "tailscale_ips",
  internal_ips: "internal_ips",
  external_ips: "external_ips",
  tailnet_name: "tailnet_name",
  free_text: "free_text",
  node: "hostnames, or by the address",
  address: "by its range: tailscale_ips, internal_ips, external_ips",
  target_id: "by the target: node_ids, user_ids, tailnet_name, else free_text",
  target_name: "by the target: hostnames, emails, tailnet_name, else free_text",
};
