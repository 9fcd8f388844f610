/** The dashboard of the program itself: whether everything received is counted, delivered, or kept where it can be inspected. */
import { type Dashboard, ids, type Panel, scope, window } from "./grafana.ts";
import { outboundRows } from "./health-outbound.ts";
import { stacked, stat, table, timeseries } from "./panels.ts";
import { promql } from "./promql.ts";

const { rate, increase, max, min, sum, count, quantile } = promql({ scope, window, keep: [] });

const over = "$__range";
const zero = (expression: string): string => `${expression} or vector(0)`;

const quantiles = (name: Parameters<typeof quantile>[1]): Panel["queries"] => [
  { expression: quantile(0.5, name), legend: "half" },
  { expression: quantile(0.99, name), legend: "99 of 100" },
];

export const health: Dashboard = {
  id: ids.health,
  title: "tailscale2otel: health",
  description: "Whether everything received is counted and delivered, and what prevents it.",
  rows: [
    {
      title: "Now",
      panels: [
        stat(
          "Instances",
          "Instances whose metrics arrive.",
          [{ expression: zero(count("tailscale2otel.up")), legend: "up" }],
          { greenFrom: 1 },
        ),
        stat("Waiting", "Accepted records whose logs are not delivered yet.", [
          { expression: sum("tailscale2otel.journal.pending") },
        ]),
        stat(
          "Oldest waiting",
          "Age of the oldest record whose logs are not delivered yet.",
          [{ expression: max("tailscale2otel.journal.pending.age") }],
          { unit: "s", redFrom: 300 },
        ),
        stat(
          "Journal",
          "How full the journal is. When undelivered records fill it, senders are told to retry.",
          [{ expression: `${max("tailscale2otel.journal.size")} / ${max("tailscale2otel.journal.limit")}` }],
          { unit: "percentunit", redFrom: 0.95 },
        ),
        stat(
          "Dead letters and quarantine",
          "Records in the time range that the backend rejected, or that could not be accepted.",
          [{ expression: zero(increase("tailscale2otel.quarantine.records", { over })) }],
          { redFrom: 1 },
        ),
        stat(
          "Lost",
          "Accepted records lost to corruption since the start. Anything above 0 deserves a look at the log.",
          [{ expression: sum("tailscale2otel.journal.lost.records") }],
          { redFrom: 1 },
        ),
        stat(
          "Configuration",
          "0 while the last reload was refused.",
          [{ expression: min("tailscale2otel.config.valid"), legend: "valid" }],
          { greenFrom: 1 },
        ),
        stat(
          "Warnings",
          "Warnings about the configuration: tailscale2otel check says which.",
          [{ expression: max("tailscale2otel.config.warnings") }],
          { redFrom: 1 },
        ),
        stat("Running for", "Time since the start.", [{ expression: min("process.uptime") }], { unit: "s" }),
        table(
          "Versions",
          "The versions that run.",
          [{ expression: count("tailscale2otel.build_info", { by: ["version"] }) }],
          { width: 12, height: 4 },
        ),
      ],
    },
    {
      title: "Nothing disappears",
      panels: [
        stacked(
          "Received",
          "Every record is accepted, a duplicate, skipped or quarantined. The sum is what was received.",
          [{ expression: rate("tailscale2otel.ingest.records", { by: ["outcome"] }), legend: "{{outcome}}" }],
          { unit: "cps" },
        ),
        timeseries(
          "Accepted and delivered",
          "In the long run, accepted records are delivered or dead-lettered.",
          [
            {
              expression: rate("tailscale2otel.ingest.records", { where: { outcome: "accepted" } }),
              legend: "accepted",
            },
            { expression: rate("tailscale2otel.export.records", { by: ["outcome"] }), legend: "{{outcome}}" },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Accepted minus delivered, dead-lettered and waiting",
          "Fluctuates around 0, because counters are sent once per interval and the other values are current. A lasting difference means a damaged journal: see status.",
          [
            {
              expression: `${sum("tailscale2otel.ingest.records", { where: { outcome: "accepted" } })} - ${sum("tailscale2otel.export.records")} - ${sum("tailscale2otel.journal.pending", { where: { destination: "" } })} - ${sum("tailscale2otel.journal.lost.records")}`,
              legend: "difference",
            },
          ],
        ),
        timeseries(
          "Quarantine and dead letters",
          "Records per minute by class and reason. tailscale2otel quarantine list shows them.",
          [
            {
              expression: `60 * ${rate("tailscale2otel.quarantine.records", { by: ["class", "reason"] })}`,
              legend: "{{class}} {{reason}}",
            },
            {
              expression: zero(`60 * ${rate("tailscale2otel.quarantine.evicted")}`),
              legend: "evicted",
            },
          ],
        ),
      ],
    },
    {
      title: "Receivers",
      panels: [
        stacked(
          "Accepted by source",
          "Records by source.",
          [
            {
              expression: rate("tailscale2otel.ingest.records", {
                by: ["source", "signal"],
                where: { outcome: "accepted" },
              }),
              legend: "{{source}} {{signal}}",
            },
          ],
          { unit: "cps" },
        ),
        stacked(
          "Bytes by source",
          "Decompressed size of what was accepted.",
          [{ expression: rate("tailscale2otel.ingest.size", { by: ["source"] }), legend: "{{source}}" }],
          { unit: "Bps" },
        ),
        timeseries(
          "Refused requests",
          "Requests refused as a whole, by reason. auth is a wrong token, unavailable a journal that is full.",
          [
            { expression: rate("tailscale.stream.rejected", { by: ["reason"] }), legend: "stream {{reason}}" },
            { expression: rate("tailscale.webhook.rejected", { by: ["reason"] }), legend: "webhook {{reason}}" },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Stream records that are not accepted",
          "Duplicates, values of unknown kinds, and records that do not decode.",
          [
            {
              expression: rate("tailscale.stream.duplicates", { by: ["type"] }),
              legend: "duplicate {{type}}",
            },
            { expression: rate("tailscale.stream.skipped", { by: ["reason"] }), legend: "skipped {{reason}}" },
            {
              expression: rate("tailscale.stream.decode_errors", { by: ["type"] }),
              legend: "undecodable {{type}}",
            },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Time to answer",
          "From a stream request's headers to its answer, which is given after the commit.",
          quantiles("tailscale.stream.request.duration"),
          { unit: "s" },
        ),
        timeseries("Requests at once", "Requests being read, parsed or committed.", [
          { expression: sum("tailscale.stream.inflight"), legend: "stream" },
          { expression: sum("tailscale.webhook.inflight"), legend: "webhook" },
        ]),
        timeseries(
          "Age of what arrives",
          "From the event to its receipt.",
          [
            {
              expression: quantile(0.9, "tailscale2otel.ingest.event.age", { by: ["source", "signal"] }),
              legend: "{{source}} {{signal}}",
            },
          ],
          { unit: "s" },
        ),
        timeseries(
          "Since the newest event",
          "Time since the newest event of each source and type. It grows while nothing arrives.",
          [
            {
              expression: `time() - ${max("tailscale2otel.ingest.last_event_timestamp", { by: ["source", "signal"] })}`,
              legend: "{{source}} {{signal}}",
            },
          ],
          { unit: "s" },
        ),
        timeseries(
          "Decoder",
          "The reader is slower, and handles what the scanner does not expect. If its share grows, the format has changed.",
          [{ expression: rate("tailscale2otel.ingest.front_end", { by: ["front_end"] }), legend: "{{front_end}}" }],
          { unit: "cps" },
        ),
      ],
    },
    {
      title: "Journal",
      panels: [
        timeseries("Backlog", "Accepted records whose logs are not delivered yet.", [
          {
            expression: max("tailscale2otel.journal.pending", { by: ["instance", "destination"] }),
            legend: "{{instance}} {{destination}}",
          },
        ]),
        timeseries(
          "Age of the backlog",
          "Age of the oldest record that is not delivered yet.",
          [
            {
              expression: max("tailscale2otel.journal.pending.age", { by: ["instance", "destination"] }),
              legend: "{{instance}} {{destination}}",
            },
          ],
          { unit: "s" },
        ),
        timeseries(
          "Space",
          "The journal's size, and state.max_bytes.",
          [
            { expression: max("tailscale2otel.journal.size", { by: ["instance"] }), legend: "size {{instance}}" },
            { expression: max("tailscale2otel.journal.limit", { by: ["instance"] }), legend: "limit {{instance}}" },
          ],
          { unit: "bytes" },
        ),
        timeseries(
          "Commit",
          "How long a commit takes. A slow disk shows here.",
          quantiles("tailscale2otel.journal.commit.duration"),
          { unit: "s" },
        ),
        timeseries(
          "How far back duplicates are recognized",
          "At most the dedup window. If it is shorter than senders retry, records can be counted twice.",
          [{ expression: min("tailscale2otel.dedup.horizon", { by: ["type"] }), legend: "{{type}}" }],
          { unit: "s" },
        ),
        timeseries(
          "Records that the stream did not bring",
          'With source = "both": records that polling brought first, and those of them that the stream brought later.',
          [
            {
              expression: zero(increase("tailscale2otel.reconcile.repaired", { over })),
              legend: "repaired by polling",
            },
            { expression: zero(increase("tailscale2otel.reconcile.late", { over })), legend: "late in the stream" },
          ],
        ),
      ],
    },
    ...outboundRows,
  ],
};
