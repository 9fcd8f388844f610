/** `docs/moving.md`: how to move here from the Go program, with the settings and metrics of both side by side. */
import { findKey } from "../src/config/layers.ts";
import { goDuration } from "../src/migration/go-values.ts";
import type { Mapping } from "../src/migration/mapping.ts";
import { rows } from "../src/migration/table.ts";
import { metricTables } from "./moving-metrics.ts";

export function movingPage(): string {
  return [opening, settingsText(), `## Metrics and logs\n\n${metricsIntroduction}`, metricTables(), closing].join(
    "\n\n",
  );
}

const opening = `# Moving from the Go program

A program of the same name is written in Go ([rknightion/tailscale2otel](https://github.com/rknightion/tailscale2otel); this page compares
its version 4). Metrics and log records about flows, audit logs, webhooks and log streaming have the same names, so dashboards and
alerts about them continue to work. This page describes how to move, and what is different. In its tables, _there_ is the Go program and _here_ is this one.

Some features have no equivalent. The Go program also exports inventories of the tailnet: devices, users, keys, the policy, DNS, services,
posture and more. This program does not. If you need inventories, keep the Go program for them, with \`collectors.flowlogs.enabled\` and
\`collectors.auditlogs.enabled\` set to \`false\` there. Traces, Headscale and logs in S3 are not supported
either. \`init --from\` converts one tailnet at a time; [tailnets.md](tailnets.md) describes how one process serves several.

## Convert the configuration

\`\`\`sh
tailscale2otel init --from config.yaml --output tailscale2otel.toml
tailscale2otel check --config tailscale2otel.toml --changed
\`\`\`

\`--from\` accepts the YAML file, the values of the Helm chart, a file of environment variables (\`.env\`), \`-\` for standard input, or \`env\` for the variables
of this shell. If you use a file and variables, name both, as in \`--from config.yaml,go.env\`: variables
override the file, as in the Go program. Without \`--output\`, the TOML goes to standard output. Nothing is sent anywhere, and the
file of the Go program is not changed.

The comments at the top of the result list what you have to do by hand, what changes its meaning, and what has no equivalent. A setting of the Go
program that you never changed keeps its effect: if the defaults differ, the result contains the Go program's default. The tables
below name the few exceptions: requests to the backend are compressed, webhooks may be larger, more requests are parsed at once, audit logs are polled with
an overlap, and the instance has a generated ID instead of the host name. Unknown settings are listed, not dropped silently. **Secrets are written in plain text**, in a file that only you can read; a secret that was in a file of its own stays there.
File names become absolute paths, resolved from the folder of the YAML file. \`\${NAME}\` is replaced by the variable, if it is set.

Most variables have the same name in both programs, such as \`TS2OTEL_STREAMING__TOKEN\`. If all your settings are variables, \`tailscale2otel
check\` may be all you need: it names every variable that it does not know.

The commands are:

| there                                                         | here                                    |
| ------------------------------------------------------------- | --------------------------------------- |
| \`tailscale2otel -config FILE\`                                 | \`tailscale2otel run --config FILE\`      |
| \`-validate\`, \`-validate -warnings-as-errors\`                  | \`check\`, \`check --strict\`               |
| \`-preflight\`                                                  | \`check --online\`                        |
| \`-print-effective-config\`, \`-print-effective-config-provenance\` | \`check\`, \`check --json\`                 |
| \`-healthcheck\`                                                | \`healthcheck\`                           |
| \`-version\`                                                    | \`version\`                               |
| \`/\`, \`/flows\`, \`/events\` in a browser                         | [the live page](live-page.md), or \`status\`, \`top\`, \`tail\` in a terminal |

## Run both side by side

Both can run on one machine, for as long as you like. The new one needs its own addresses, and a name by which the backend can tell the two apart.
Set both with flags during the trial, so that you do not have to change the file:

\`\`\`sh
tailscale2otel run --config tailscale2otel.toml \\
  --set admin.listen=127.0.0.1:9191 \\
  --set streaming.listen=:8188 \\
  --set webhook.listen=:8189 \\
  --set collectors.flowlogs.source=both \\
  --set collectors.auditlogs.source=both \\
  --set resource.attributes.service.name=tailscale2otel-new
\`\`\`

- **Polling**: both poll. They have separate cursors, and the number of API requests doubles.
- **Log streaming**: Tailscale sends each log to one destination only. Keep the Go program as the destination, and let the new one poll, which
  needs an OAuth client. Both see every record. If you do not use log streaming, omit the two flags with \`source\`.
- **Webhooks**: a tailnet can have several webhooks. Create a second one for the new address; every event goes to both.
- **State**: \`state.path\` is a directory. It may be the one with the Go program's checkpoints, because no file has the same name.
- **Backend**: the metrics of both have the same names, so a sum over both counts everything twice. Compare them by \`job\`, which
  Prometheus and Grafana Cloud derive from \`service.name\`:

\`\`\`promql
sum by (job, network_io_direction) (increase(tailscale_network_io_rollup_bytes_total[1h]))
\`\`\`

This program counts a record once however it arrives, and its counters survive restarts. The Go program starts at zero after a restart, and counts twice if it streams and polls at the same time.
Do not expect equal numbers while the Go program restarts or receives both ways.

## Switch without a gap

1. With the new instance running as above, wait until it has polled both logs and delivered everything:

   \`\`\`sh
   tailscale2otel status --config tailscale2otel.toml
   \`\`\`

2. Log streaming: point it at the new receiver. Polling fetches whatever is lost or late around the switch, and it is counted once.

   \`\`\`sh
   tailscale2otel tailnet stream set --config tailscale2otel.toml
   \`\`\`

3. Webhooks: create one for the new receiver, set \`webhook.secret\` to its secret, and remove the old one when the first event has arrived.

   \`\`\`sh
   tailscale2otel tailnet webhook create --url https://hooks.example.com/tailscale/webhook --config tailscale2otel.toml
   tailscale2otel tailnet webhook list --config tailscale2otel.toml
   \`\`\`

4. Stop the Go program. If you keep it for the inventories, turn off its flow and audit collectors and its receivers instead. Note the time.
5. Start the new program without the flags of the trial, and check that metrics arrive under the old \`job\`.

There is no gap, because both programs have received at the same time. For that time, the backend has two sets of series and log records; a dashboard
that is restricted to one \`job\` shows each record once. Counters begin at zero in new series, which \`rate()\` and \`increase()\` handle;
\`sum\` over both jobs continues without a step. To go back, point log streaming at the old receiver, and start the Go program: its checkpoints
are unchanged.

If the two cannot run at the same time, stop the Go program, and let the first poll of the new one reach back to that moment, up to 30 days for flow logs
and 90 for audit logs: for example, set \`initial_lookback = "2h"\` in both collectors. What the Go program had already exported for that time is then in the backend twice.`;

const settingsIntroduction = `This is what \`init --from\` does with each setting. If there is no remark, the value means the same. \`.*\` stands for everything in that section that is not
listed separately. Defaults are given if they differ.`;

function settingsText(): string {
  const lines = rows.map((row) => `| \`${row.from}\` | ${nameHere(row)} | ${remarkOf(row)} |`);
  const table = ["| there | here | remark |", "| --- | --- | --- |", ...lines].join("\n");
  return ["## Settings side by side", settingsIntroduction, table].join("\n\n");
}

function nameHere({ from, to }: Mapping): string {
  return to === undefined ? "–" : to === from ? "same" : `\`${to}\``;
}

/** The remark with both defaults, if they differ and are comparable: `0` and `http` stand for another default in the Go program. */
function remarkOf({ from, to, initial = "", remark = "" }: Mapping): string {
  const target = findKey(from);
  if (from !== to || target?.part !== "value" || /^(?:0s?|http|)$/.test(initial)) return remark;
  const here: unknown = JSON.parse(target.setting.written);
  const written = Array.isArray(here) ? here.join(",") : String(here);
  const isSame =
    written === initial || (goDuration(written) !== undefined && goDuration(written) === goDuration(initial));
  const defaults = isSame ? "" : `default \`${initial}\` there, ${written === "" ? "none" : `\`${written}\``} here`;
  return [remark, defaults].filter(Boolean).join("; ");
}

const metricsIntroduction = `- **On every point and log record**, the Go program has \`tailscale_tailnet\` and \`tailscale2otel_provider\`. This program has only \`tailscale_tailnet\`,
  and only if \`tailscale.tailnet\` is set, or a webhook names the tailnet.
- **\`service.instance.id\`** is the host name there, and generated once here; \`self_observability.instance_id\` sets it.
- **Log records** have the same event names: \`tailscale.network.flow\`, \`tailscale.config.audit\`, \`tailscale.webhook.<type>\`. Their attributes are
  the same too, except that here a flow has no \`tailscale.reporter.trust\` and no \`geo.*\` or \`as.*\` attributes, and a relayed flow has no
  \`destination.address\`, which would only be the marker 127.3.3.40. Other events of the Go program belong to its inventories.
- **Privacy**: what \`pii_filter\` removes there can be dropped or hashed here.
- **Units**: gauges of unit \`1\` end in \`_ratio\` in both, which is how Prometheus translates them.`;

const closing = `### Families that do not exist here

Inventories and related metrics: \`tailscale_acl_*\`, \`tailscale_contact_*\`, \`tailscale_derp_*\`, \`tailscale_device_*\`, \`tailscale_devices_*\`,
\`tailscale_device_invites_*\`, \`tailscale_dns_*\`, \`tailscale_exit_nodes_*\`, \`tailscale_feature_*\`, \`tailscale_fleet_*\`, \`tailscale_geoip_*\`, \`tailscale_k8s_*\`,
\`tailscale_key_*\`, \`tailscale_keys_*\`, \`tailscale_node_*\`, \`tailscale_oauth_app*\`, \`tailscale_posture_*\`, \`tailscale_rdns_*\`, \`tailscale_service*\`,
\`tailscale_setting_*\`, \`tailscale_subnet_routes_*\`, \`tailscale_tailnet_lock_*\`, \`tailscale_user*\`, \`tailscale_webhook_endpoint*\`,
\`tailscale2otel_annotation_*\`, \`tailscale2otel_nodemetrics_*\`, \`tailscale2otel_objectstore_*\`, \`tailscale2otel_profiling_*\`, and the rest of
\`tailscale2otel_runtime_*\`. Panels and alerts on them stay empty without the Go program.

[dashboards.md](dashboards.md) has dashboards and alerts for everything that exists here.
`;
