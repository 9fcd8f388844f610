/** Alerts about records: that they are accepted, kept and delivered. */
import { type Alert, always, given, growing, never, share, whenAt, whenGrowing } from "./alert.ts";
import { promql } from "./promql.ts";

const { series, max, increase, rate } = promql({ scope: "", window: "10m", keep: ["instance"] });

const up = series("tailscale2otel.up");
const failed = { outcome: { in: ["retry", "rejected"] } } as const;

export const alertsOfRecords: readonly Alert[] = [
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
    value: max("tailscale2otel.journal.pending.age", { by: ["destination"] }),
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
      rate("tailscale2otel.export.requests", { by: ["destination", "signal"], where: failed }),
      rate("tailscale2otel.export.requests", { by: ["destination", "signal"] }),
    ),
    summary: "The backend does not accept the {{ $labels.signal }} of {{ $labels.instance }}",
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
    name: "Tailscale2otelRecordsGivenUp",
    severity: "critical",
    for: "0m",
    when: "> 0",
    value: never(increase("tailscale2otel.export.evicted", { by: ["destination"], over: "1h" })),
    summary: "{{ $labels.instance }} has given up undelivered records for {{ $labels.destination }}",
    description:
      "That destination has not accepted them for so long that their space was needed. Others are not affected.",
    ...whenGrowing("tailscale2otel.export.evicted", { destination: "archive" }),
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
];
