/** The dashboard of what changes in the tailnet: configuration audit records and webhook events. */
import { type Dashboard, ids, scope, window } from "./grafana.ts";
import { bars, stacked, stat, table, timeseries } from "./panels.ts";
import { latest } from "./logs-queries.ts";
import { promql } from "./promql.ts";

const { rate, increase, quantile } = promql({ scope, window, keep: [] });

const over = "$__range";
const audit = latest(
  "Latest changes",
  "Configuration audit records, failed ones as warnings.",
  "tailscale.config.audit",
);
const webhook = latest("Latest events", "Webhook events.", "tailscale.webhook.");

export const changes: Dashboard = {
  id: ids.changes,
  title: "Tailscale: audit and webhooks",
  description: "What changes in the tailnet, who changes it, and what Tailscale notifies of.",
  rows: [
    {
      title: "In the time range",
      panels: [
        stat("Audit records", "Configuration audit records accepted in the time range.", [
          { expression: increase("tailscale.config.audit.events", { over }) },
        ]),
        stat(
          "Security-relevant changes",
          "Changes of access, keys, nodes, logging and other things that matter for security.",
          [{ expression: increase("tailscale.config.audit.changes", { over }) }],
        ),
        stat("Webhook events", "Webhook events accepted in the time range.", [
          { expression: increase("tailscale.webhook.events", { over }) },
        ]),
        stat(
          "Unknown values",
          "Values in records that this version does not know: Tailscale has added something.",
          [
            {
              expression: `(${increase("tailscale.config.audit.schema_drift", { where: { status: "unknown" }, over })} or vector(0)) + (${increase("tailscale.webhook.schema_drift", { where: { status: "unknown" }, over })} or vector(0))`,
            },
          ],
          { redFrom: 1 },
        ),
        stat(
          "Refused deliveries",
          "Webhook deliveries refused as a whole, for example for a wrong signature.",
          [{ expression: increase("tailscale.webhook.rejected", { over }) }],
          { redFrom: 1 },
        ),
      ],
    },
    {
      title: "Configuration audit",
      panels: [
        stacked(
          "Audit records by action",
          "Actions that this version does not know are other.",
          [
            {
              expression: rate("tailscale.config.audit.events", { by: ["tailscale.audit.action"] }),
              legend: "{{tailscale_audit_action}}",
            },
          ],
          { unit: "cps" },
        ),
        stacked(
          "Audit records by origin",
          "Where changes were made: admin console, API, node, or Tailscale itself.",
          [
            {
              expression: rate("tailscale.config.audit.events", { by: ["tailscale.audit.origin"] }),
              legend: "{{tailscale_audit_origin}}",
            },
          ],
          { unit: "cps" },
        ),
        table("Security-relevant changes", "What was changed in the time range, how, and by which type of actor.", [
          {
            expression: `${increase("tailscale.config.audit.changes", { by: ["tailscale.audit.change", "tailscale.audit.action", "tailscale.actor.type"], over })} > 0`,
          },
        ]),
        bars(
          "Changes by actor",
          "Security-relevant changes in the time range by the type of who made them.",
          [
            {
              expression: increase("tailscale.config.audit.changes", { by: ["tailscale.actor.type"], over }),
              legend: "{{tailscale_actor_type}}",
            },
          ],
          { width: 12 },
        ),
        timeseries(
          "Delay of audit records",
          "From the event until it is received here.",
          [
            { expression: quantile(0.5, "tailscale.config.audit.processing.delay"), legend: "half" },
            { expression: quantile(0.99, "tailscale.config.audit.processing.delay"), legend: "99 of 100" },
          ],
          { unit: "s" },
        ),
        timeseries(
          "Known and unknown values",
          "Unknown ones show as other elsewhere.",
          [
            {
              expression: rate("tailscale.config.audit.schema_drift", { by: ["field", "status"] }),
              legend: "{{field}} {{status}}",
            },
          ],
          { unit: "cps" },
        ),
      ],
    },
    {
      title: "Webhooks",
      panels: [
        stacked(
          "Events by type",
          "Accepted webhook events.",
          [
            {
              expression: rate("tailscale.webhook.events", { by: ["tailscale.webhook.type"] }),
              legend: "{{tailscale_webhook_type}}",
            },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Duplicates and refusals",
          "Events that were known already, and deliveries refused as a whole, by reason.",
          [
            { expression: `${rate("tailscale.webhook.duplicates")} or vector(0)`, legend: "duplicates" },
            { expression: rate("tailscale.webhook.rejected", { by: ["reason"] }), legend: "{{reason}}" },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Format version",
          "Webhook events by whether this version knows the format.",
          [
            {
              expression: rate("tailscale.webhook.schema_drift", { by: ["field", "status"] }),
              legend: "{{field}} {{status}}",
            },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Time to answer",
          "From the delivery's headers to the answer, which is given after the commit.",
          [
            { expression: quantile(0.5, "tailscale.webhook.request.duration"), legend: "half" },
            { expression: quantile(0.99, "tailscale.webhook.request.duration"), legend: "99 of 100" },
          ],
          { unit: "s" },
        ),
      ],
    },
    { title: "Log records in Loki", isCollapsed: true, panels: [audit.loki, webhook.loki] },
    { title: "Log records in VictoriaLogs", isCollapsed: true, panels: [audit.victorialogs, webhook.victorialogs] },
  ],
};
