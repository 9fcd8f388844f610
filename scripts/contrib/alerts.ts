/**
 * The alerts: what is measured, from where on it is a fault, and with which series it must and must not fire. What to do is in
 * `docs/operations.md`, under the alert's name.
 */
import type { MetricName } from "../../src/catalogue/metrics.ts";
import { promql, type Where } from "./promql.ts";

export interface Alert {
  readonly name: string;
  /** `critical`: data is lost or about to be. `warning`: something must be done. `info`: worth knowing. */
  readonly severity: "critical" | "warning" | "info";
  /** Has a value while all is well, too. */
  readonly value: string;
  /** When the value is a fault. */
  readonly when: `${"<" | ">" | "=="} ${number}`;
  readonly for: string;
  readonly summary: string;
  readonly description: string;
  readonly fires: readonly Given[];
  readonly quiet: readonly Given[];
}

/** Stands for an instance of the alert's own: all are tested together, and each must fire on its own instance alone. */
export const instanceInTests = "INSTANCE";

/** A series of a test, with a value each minute in promtool's notation. */
export interface Given {
  readonly series: string;
  readonly values: string;
}

const { series, max, min, increase, quantile, rate } = promql({ scope: "", window: "10m", keep: ["instance"] });
const inTests = promql({ scope: `instance="${instanceInTests}"`, window: "", keep: [] });

const hour = 3600;
const minutes = 120;

const always = (value: number): string => `${value}x${minutes}`;
const growing = (by: number): string => `0+${by}x${minutes}`;

function given<Name extends MetricName>(name: Name, values: string, where?: Where<Name>, suffix?: string): Given {
  return { series: inTests.series(name, where, suffix), values };
}

/** Fires if the series grows by one a minute, and not if it stays. */
function whenGrowing<Name extends MetricName>(name: Name, where?: Where<Name>): Pick<Alert, "fires" | "quiet"> {
  return { fires: [given(name, growing(1), where)], quiet: [given(name, always(3), where)] };
}

function whenAt<Name extends MetricName>(name: Name, fault: number, well: number, where?: Where<Name>) {
  return { fires: [given(name, always(fault), where)], quiet: [given(name, always(well), where)] };
}

/** Series that exist only once it has happened. */
const never = (expression: string): string => `(${expression} or vector(0))`;

const up = series("tailscale2otel.up");
const failed = { outcome: { in: ["retry", "rejected"] } } as const;
const share = (part: string, whole: string): string => `${part} / ${whole}`;

export const alerts: readonly Alert[] = [
  {
    name: "Tailscale2otelDown",
    severity: "critical",
    for: "5m",
    when: "< 1",
    value: `(count(${up}) or vector(0))`,
    summary: "No metrics of tailscale2otel arrive",
    description: "No instance has sent metrics for more than five minutes. Nothing else can alert while this lasts.",
    fires: [],
    quiet: [given("tailscale2otel.up", always(1))],
  },
  {
    name: "Tailscale2otelInstanceGone",
    severity: "warning",
    for: "5m",
    when: "> 0",
    value: `count by (instance) (last_over_time(${up}[1h])) - (count by (instance) (${up}) or 0 * count by (instance) (last_over_time(${up}[1h])))`,
    summary: "{{ $labels.instance }} has stopped sending metrics",
    description: "It sent metrics in the last hour and no longer does.",
    fires: [given("tailscale2otel.up", "1x60")],
    quiet: [given("tailscale2otel.up", always(1))],
  },
  {
    name: "Tailscale2otelRefusingRecords",
    severity: "critical",
    for: "5m",
    when: "> 0",
    value: `${increase("tailscale.stream.rejected", { where: { reason: "unavailable" } })} + ${increase("tailscale.webhook.rejected", { where: { reason: "unavailable" } })}`,
    summary: "{{ $labels.instance }} cannot accept records",
    description:
      "Senders are answered 503: the journal is full or cannot be written. Tailscale retries for a limited time only.",
    fires: [
      given("tailscale.stream.rejected", growing(1), { reason: "unavailable" }),
      given("tailscale.webhook.rejected", always(0), { reason: "unavailable" }),
    ],
    quiet: [
      given("tailscale.stream.rejected", growing(1), { reason: "too_large" }),
      given("tailscale.stream.rejected", always(2), { reason: "unavailable" }),
      given("tailscale.webhook.rejected", always(0), { reason: "unavailable" }),
    ],
  },
  {
    name: "Tailscale2otelRecordsLost",
    severity: "critical",
    for: "0m",
    when: "> 0",
    value: increase("tailscale2otel.journal.lost.records", { over: "1h" }),
    summary: "{{ $labels.instance }} has lost accepted records",
    description:
      "The journal was damaged, and {{ $value | humanize }} records that were accepted could not be recovered.",
    ...whenGrowing("tailscale2otel.journal.lost.records"),
  },
  {
    name: "Tailscale2otelJournalFilling",
    severity: "critical",
    for: "10m",
    when: "> 0.95",
    value: share(max("tailscale2otel.journal.size"), max("tailscale2otel.journal.limit")),
    summary: "The journal of {{ $labels.instance }} is {{ $value | humanizePercentage }} full",
    description:
      "Delivered records are deleted from nine tenths on, so these are undelivered. When it is full, new records are refused.",
    fires: [given("tailscale2otel.journal.size", always(97)), given("tailscale2otel.journal.limit", always(100))],
    quiet: [given("tailscale2otel.journal.size", always(90)), given("tailscale2otel.journal.limit", always(100))],
  },
  {
    name: "Tailscale2otelBacklogOld",
    severity: "warning",
    for: "10m",
    when: "> 300",
    value: max("tailscale2otel.journal.pending.age"),
    summary: "Logs of {{ $labels.instance }} are {{ $value | humanizeDuration }} behind",
    description: "Accepted records wait for delivery. Nothing is lost, but the backend does not have them yet.",
    ...whenAt("tailscale2otel.journal.pending.age", 400, 20),
  },
  {
    name: "Tailscale2otelExportFailing",
    severity: "warning",
    for: "10m",
    when: "> 0.5",
    value: share(
      rate("tailscale2otel.export.requests", { by: ["signal"], where: failed }),
      rate("tailscale2otel.export.requests", { by: ["signal"] }),
    ),
    summary: "The backend does not take the {{ $labels.signal }} of {{ $labels.instance }}",
    description: "{{ $value | humanizePercentage }} of the OTLP requests of the last ten minutes failed.",
    fires: [
      given("tailscale2otel.export.requests", growing(9), { signal: "logs", outcome: "retry" }),
      given("tailscale2otel.export.requests", growing(1), { signal: "logs", outcome: "success" }),
    ],
    quiet: [
      given("tailscale2otel.export.requests", growing(1), { signal: "logs", outcome: "retry" }),
      given("tailscale2otel.export.requests", growing(9), { signal: "logs", outcome: "success" }),
    ],
  },
  {
    name: "Tailscale2otelDeadLetters",
    severity: "warning",
    for: "0m",
    when: "> 0",
    value: increase("tailscale2otel.quarantine.records", { where: { class: "dead_letter" }, over: "1h" }),
    summary: "The backend has rejected logs of {{ $labels.instance }}",
    description:
      "{{ $value | humanize }} records became dead letters in the last hour. They are kept and can be retried.",
    ...whenGrowing("tailscale2otel.quarantine.records", { class: "dead_letter", reason: "rejected" }),
  },
  {
    name: "Tailscale2otelQuarantined",
    severity: "warning",
    for: "0m",
    when: "> 0",
    value: increase("tailscale2otel.quarantine.records", { where: { class: "invalid" }, over: "1h" }),
    summary: "{{ $labels.instance }} has quarantined records",
    description: "{{ $value | humanize }} records of the last hour cannot be decoded or contradict themselves.",
    ...whenGrowing("tailscale2otel.quarantine.records", { class: "invalid", reason: "decode_error" }),
  },
  {
    name: "Tailscale2otelQuarantineEvicted",
    severity: "warning",
    for: "0m",
    when: "> 0",
    value: never(increase("tailscale2otel.quarantine.evicted", { by: ["class"], over: "1h" })),
    summary: "{{ $labels.instance }} has removed {{ $labels.class }} records for lack of space",
    description:
      "Nobody looked at them before their space was needed. Removed dead letters will never reach the backend.",
    ...whenGrowing("tailscale2otel.quarantine.evicted", { class: "dead_letter", reason: "rejected" }),
  },
  {
    name: "Tailscale2otelWrongToken",
    severity: "warning",
    for: "5m",
    when: "> 0",
    value: increase("tailscale.stream.rejected", { where: { reason: "auth" } }),
    summary: "Stream requests to {{ $labels.instance }} have a wrong token",
    description: "If it is Tailscale that sends them, its records do not arrive.",
    ...whenGrowing("tailscale.stream.rejected", { reason: "auth" }),
  },
  {
    name: "Tailscale2otelWrongSignature",
    severity: "warning",
    for: "5m",
    when: "> 0",
    value: increase("tailscale.webhook.rejected", { where: { reason: "bad_signature" } }),
    summary: "Webhook deliveries to {{ $labels.instance }} have a wrong signature",
    description: "The secret differs from the webhook's, or somebody else sends.",
    ...whenGrowing("tailscale.webhook.rejected", { reason: "bad_signature" }),
  },
  {
    name: "Tailscale2otelPollFailing",
    severity: "warning",
    for: "15m",
    when: "< 1",
    value: min("tailscale2otel.scrape.success", { by: ["tailscale.collector"] }),
    summary: "Polling {{ $labels.tailscale_collector }} fails on {{ $labels.instance }}",
    description: "Tailscale's API does not answer as it should. status says why.",
    ...whenAt("tailscale2otel.scrape.success", 0, 1, { "tailscale.collector": "flowlogs" }),
  },
  {
    name: "Tailscale2otelPollBehind",
    severity: "warning",
    for: "15m",
    when: "> 1800",
    value: max("tailscale2otel.scrape.lag", { by: ["tailscale.collector"] }),
    summary:
      "Polling {{ $labels.tailscale_collector }} is {{ $value | humanizeDuration }} behind on {{ $labels.instance }}",
    description: "It reads more slowly than Tailscale logs, or fails.",
    ...whenAt("tailscale2otel.scrape.lag", 2000, 180, { "tailscale.collector": "flowlogs" }),
  },
  {
    name: "Tailscale2otelStreamLosing",
    severity: "critical",
    for: "5m",
    when: "> 0",
    value: `min by (instance, tailscale_logstream_type) (min_over_time(${series("tailscale2otel.logstream.missing")}[30m]))`,
    summary: "Entries of the {{ $labels.tailscale_logstream_type }} log stream do not reach {{ $labels.instance }}",
    description:
      "Tailscale says that it has sent {{ $value | humanize }} entries that have not arrived for half an hour.",
    ...whenAt("tailscale2otel.logstream.missing", 5, 0, { "tailscale.logstream.type": "network" }),
  },
  {
    name: "Tailscale2otelStreamFailing",
    severity: "warning",
    for: "15m",
    when: "> 0",
    value: max("tailscale.logstream.error", { by: ["tailscale.logstream.type"] }),
    summary: "Tailscale cannot deliver the {{ $labels.tailscale_logstream_type }} log stream to {{ $labels.instance }}",
    description: "Its last request failed; status and the log have its error message.",
    ...whenAt("tailscale.logstream.error", 1, 0, { "tailscale.logstream.type": "network" }),
  },
  {
    name: "Tailscale2otelNoFlows",
    severity: "warning",
    for: "5m",
    when: "> 3600",
    value: `time() - ${max("tailscale2otel.ingest.last_event_timestamp", { where: { signal: "flow" } })}`,
    summary: "{{ $labels.instance }} has received no flow for {{ $value | humanizeDuration }}",
    description: "The tailnet is idle, flow logging is off, or records no longer arrive.",
    fires: [given("tailscale2otel.ingest.last_event_timestamp", always(60), { source: "stream", signal: "flow" })],
    quiet: [
      given("tailscale2otel.ingest.last_event_timestamp", `0+60x${minutes}`, { source: "stream", signal: "flow" }),
    ],
  },
  {
    name: "Tailscale2otelSeriesLimit",
    severity: "warning",
    for: "10m",
    when: "> 0.9",
    value: share(
      max("tailscale2otel.series.active", { by: ["metric.name"] }),
      max("tailscale2otel.series.limit", { by: ["metric.name"] }),
    ),
    summary: "{{ $labels.metric_name }} has {{ $value | humanizePercentage }} of its series on {{ $labels.instance }}",
    description: "Further attribute sets will be summed in one series. Totals stay exact.",
    fires: [
      given("tailscale2otel.series.active", always(9500), { "metric.name": "tailscale.network.io.rollup" }),
      given("tailscale2otel.series.limit", always(10_000), { "metric.name": "tailscale.network.io.rollup" }),
    ],
    quiet: [
      given("tailscale2otel.series.active", always(500), { "metric.name": "tailscale.network.io.rollup" }),
      given("tailscale2otel.series.limit", always(10_000), { "metric.name": "tailscale.network.io.rollup" }),
    ],
  },
  {
    name: "Tailscale2otelCertificateExpiring",
    severity: "warning",
    for: "1h",
    when: `< ${7 * 24 * hour}`,
    value: `${min("tailscale2otel.tls.cert.not_after", { by: ["component"] })} - time()`,
    summary:
      "The {{ $labels.component }} certificate of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}",
    description: "Senders will refuse the connection when it has ended.",
    ...whenAt("tailscale2otel.tls.cert.not_after", 6 * 24 * hour, 30 * 24 * hour, { component: "stream" }),
  },
  {
    name: "Tailscale2otelCertificateRejected",
    severity: "warning",
    for: "10m",
    when: "> 0",
    value: max("tailscale2otel.tls.cert.rejected", { by: ["component"] }),
    summary: "The new {{ $labels.component }} certificate of {{ $labels.instance }} cannot be used",
    description: "The previous certificate is served until the files are fixed; the log says what is wrong with them.",
    ...whenAt("tailscale2otel.tls.cert.rejected", 1, 0, { component: "stream" }),
  },
  {
    name: "Tailscale2otelReloadRefused",
    severity: "warning",
    for: "5m",
    when: "< 1",
    value: min("tailscale2otel.config.valid"),
    summary: "{{ $labels.instance }} has refused to reload its configuration",
    description: "The file is invalid. The previous configuration stays in force, and a restart would fail.",
    ...whenAt("tailscale2otel.config.valid", 0, 1),
  },
  {
    name: "Tailscale2otelDedupShort",
    severity: "warning",
    for: "30m",
    when: `< ${hour}`,
    value: min("tailscale2otel.dedup.horizon", { by: ["type"] }),
    summary:
      "{{ $labels.instance }} recognizes duplicate {{ $labels.type }} records for {{ $value | humanizeDuration }} only",
    description: "Keys leave before the end of the dedup window, so a record that is sent again late is counted twice.",
    ...whenAt("tailscale2otel.dedup.horizon", 1200, 86_400, { type: "flow" }),
  },
  {
    name: "Tailscale2otelSlow",
    severity: "warning",
    for: "10m",
    when: "> 0.9",
    value: quantile(0.99, "tailscale2otel.event_loop.lag"),
    summary: "{{ $labels.instance }} cannot keep up",
    description:
      "Timers of the main thread fire up to {{ $value | humanizeDuration }} late: it has too little CPU for the load.",
    fires: bucketsOf("slow"),
    quiet: bucketsOf("quick"),
  },
  {
    name: "Tailscale2otelReporterMismatch",
    severity: "warning",
    for: "0m",
    when: "> 0",
    value: never(
      increase("tailscale.network.reporter.observations", { where: { consistency: "mismatch" }, over: "1h" }),
    ),
    summary: "Flow records on {{ $labels.instance }} name another node than their reporter",
    description: "{{ $value | humanize }} records of the last hour describe a node that did not send them.",
    ...whenGrowing("tailscale.network.reporter.observations", { consistency: "mismatch" }),
  },
  {
    name: "Tailscale2otelFormatUnknown",
    severity: "info",
    for: "0m",
    when: "> 0",
    value: never(
      increase("tailscale.config.audit.schema_drift", { by: ["field"], where: { status: "unknown" }, over: "1d" }),
    ),
    summary: "Audit records on {{ $labels.instance }} have a {{ $labels.field }} that this version does not know",
    description: "Metrics show it as other; log records have it as received. A newer version may know it.",
    ...whenGrowing("tailscale.config.audit.schema_drift", { field: "action", status: "unknown" }),
  },
  {
    name: "TailscaleSecurityChange",
    severity: "info",
    for: "0m",
    when: "> 0",
    value: increase("tailscale.config.audit.changes", { by: ["tailscale.audit.change", "tailscale.audit.action"] }),
    summary: "{{ $labels.tailscale_audit_change }} of the tailnet was changed ({{ $labels.tailscale_audit_action }})",
    description: "The audit log records have who changed what, and the old and the new value.",
    ...whenGrowing("tailscale.config.audit.changes", {
      "tailscale.audit.change": "acl",
      "tailscale.audit.action": "UPDATE",
      "tailscale.actor.type": "USER",
    }),
  },
];

/** Ten measurements a minute: quick ones take up to 5 ms, slow ones about 2 s. */
function bucketsOf(speed: "slow" | "quick"): readonly Given[] {
  const name = "tailscale2otel.event_loop.lag";
  const perMinute = speed === "slow" ? [1, 1, 10, 10] : [10, 10, 10, 10];
  return ["0.005", "1", "2.5", "+Inf"].map((le, at) => ({
    series: `${inTests.series(name, {}, "_bucket").replace("}", `,le="${le}"}`)}`,
    values: growing(perMinute[at] ?? 0),
  }));
}
