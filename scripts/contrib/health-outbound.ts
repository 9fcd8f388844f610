/** The rows of the health dashboard about exports, requests to Tailscale, and the process. */
import { type Row, scope, window } from "./grafana.ts";
import { stacked, timeseries } from "./panels.ts";
import { promql } from "./promql.ts";

const { rate, max, min, sum, quantile } = promql({ scope, window, keep: [] });

export const outboundRows: readonly Row[] = [
  {
    title: "Delivery",
    panels: [
      timeseries(
        "OTLP requests",
        "By signal and outcome.",
        [
          {
            expression: rate("tailscale2otel.export.requests", { by: ["destination", "signal", "outcome"] }),
            legend: "{{destination}} {{signal}} {{outcome}}",
          },
        ],
        { unit: "cps" },
      ),
      timeseries(
        "Failures by cause",
        "denied is wrong credentials or a wrong address; throttled is the backend's rate limit.",
        [
          {
            expression: rate("tailscale2otel.export.failures", { by: ["destination", "signal", "error_type"] }),
            legend: "{{destination}} {{signal}} {{error_type}}",
          },
        ],
        { unit: "cps" },
      ),
      timeseries(
        "Time of a request",
        "99 of 100 OTLP requests take no longer.",
        [
          {
            expression: quantile(0.99, "tailscale2otel.export.duration", { by: ["destination", "signal"] }),
            legend: "{{destination}} {{signal}}",
          },
        ],
        { unit: "s" },
      ),
      timeseries(
        "Since the last success",
        "Time since the backend last accepted something. Nothing is sent while no records arrive.",
        [
          {
            expression: `time() - ${max("tailscale2otel.export.last_success", { by: ["destination", "signal"] })}`,
            legend: "{{destination}} {{signal}}",
          },
        ],
        { unit: "s" },
      ),
      timeseries(
        "Log records",
        "By what the backend did with them.",
        [{ expression: rate("tailscale2otel.export.log_records", { by: ["outcome"] }), legend: "{{outcome}}" }],
        { unit: "cps" },
      ),
      timeseries(
        "Metric points",
        "By what the backend did with them; left out are series that it rejected before.",
        [{ expression: rate("tailscale2otel.export.datapoints", { by: ["outcome"] }), legend: "{{outcome}}" }],
        { unit: "cps" },
      ),
    ],
  },
  {
    title: "Polling and Tailscale's own view",
    panels: [
      timeseries("Polls", "1 if a collector's last poll succeeded. Nothing is shown while nothing is polled.", [
        {
          expression: min("tailscale2otel.scrape.success", { by: ["tailscale.collector"] }),
          legend: "{{tailscale_collector}}",
        },
      ]),
      timeseries(
        "Behind by",
        "For logs the age of the end of the last window that was read.",
        [
          {
            expression: max("tailscale2otel.scrape.lag", { by: ["tailscale.collector"] }),
            legend: "{{tailscale_collector}}",
          },
        ],
        { unit: "s" },
      ),
      timeseries(
        "Duration of polls",
        "90th percentile of the duration of a poll.",
        [
          {
            expression: quantile(0.9, "tailscale2otel.scrape.duration.histogram", { by: ["tailscale.collector"] }),
            legend: "{{tailscale_collector}}",
          },
        ],
        { unit: "s" },
      ),
      timeseries(
        "Failed polls",
        "By collector and cause.",
        [
          {
            expression: rate("tailscale2otel.scrape.errors", { by: ["tailscale.collector", "error_type"] }),
            legend: "{{tailscale_collector}} {{error_type}}",
          },
        ],
        { unit: "cps" },
      ),
      timeseries(
        "Tailscale's API",
        "Requests by endpoint and status, every attempt counted.",
        [
          {
            expression: rate("tailscale2otel.api.requests", { by: ["endpoint", "http.response.status_code"] }),
            legend: "{{endpoint}} {{http_response_status_code}}",
          },
        ],
        { unit: "cps" },
      ),
      timeseries(
        "Sent and not received",
        "Entries that Tailscale says it has sent and that never arrived. Only with streaming.auto_configure.",
        [
          {
            expression: max("tailscale2otel.logstream.missing", { by: ["tailscale.logstream.type"] }),
            legend: "{{tailscale_logstream_type}}",
          },
        ],
      ),
      timeseries(
        "Tailscale's failed requests",
        "According to Tailscale. Only with streaming.auto_configure.",
        [
          {
            expression: rate("tailscale.logstream.requests_failed", { by: ["tailscale.logstream.type"] }),
            legend: "{{tailscale_logstream_type}}",
          },
        ],
        { unit: "cps" },
      ),
    ],
  },
  {
    title: "Series and certificates",
    panels: [
      timeseries("Series", "Series of each metric; cardinality.metric_limit bounds them.", [
        {
          expression: `topk($top, ${max("tailscale2otel.series.active", { by: ["metric.name"] })})`,
          legend: "{{metric_name}}",
        },
      ]),
      timeseries(
        "Metrics at their limit",
        "Further attribute sets of these are summed in one series.",
        [{ expression: sum("tailscale2otel.series.overflowing"), legend: "metrics" }],
        { width: 6 },
      ),
      timeseries(
        "Certificates end in",
        "Nothing is shown without TLS.",
        [
          {
            expression: `${min("tailscale2otel.tls.cert.not_after", { by: ["component"] })} - time()`,
            legend: "{{component}}",
          },
        ],
        { unit: "s", width: 6 },
      ),
    ],
  },
  {
    title: "Process",
    panels: [
      stacked(
        "CPU",
        "1 is one core.",
        [{ expression: rate("process.cpu.time", { by: ["cpu.mode"] }), legend: "{{cpu_mode}}" }],
        { unit: "percentunit", width: 8 },
      ),
      timeseries(
        "Memory",
        "Resident memory.",
        [{ expression: max("process.memory.usage", { by: ["instance"] }), legend: "{{instance}}" }],
        { unit: "bytes", width: 8 },
      ),
      timeseries(
        "Event loop",
        "How late timers of the main thread fire.",
        [{ expression: quantile(0.99, "tailscale2otel.event_loop.lag"), legend: "99 of 100" }],
        {
          unit: "s",
          width: 8,
        },
      ),
    ],
  },
];
