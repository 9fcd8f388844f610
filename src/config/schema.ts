/** Every setting, once. Types, defaults, validation, variables, the reference and the example file are derived from this. */
import type { Static } from "@sinclair/typebox";
import { collectors, streaming, tailscale, webhook } from "./schema-inputs.ts";
import { cardinality, otlp, privacy } from "./schema-outputs.ts";
import {
  boolean,
  bytes,
  choice,
  directory,
  duration,
  integer,
  listen,
  map,
  secret,
  section,
  sectionsOf,
  type Setting,
  text,
} from "./setting.ts";

const window = (written: string, of: string, more = "") =>
  duration(written, ["1m", "365d"], `Dedup window for ${of}: how long their identities are remembered.${more}`);

export const configSchema = section("The configuration of tailscale2otel.", {
  log_level: choice(["debug", "info", "warn", "error"], "info", "Minimum severity of the program's own log lines."),
  log_format: choice(
    ["auto", "text", "json"],
    "auto",
    "`auto`: text on a terminal, otherwise one JSON object per line. Log lines go to stderr.",
  ),
  tailscale,
  collectors,
  streaming,
  webhook,
  cardinality,
  privacy,
  otlp,
  resource: section("The OpenTelemetry resource.", {
    attributes: map(
      "attribute",
      "Resource attributes of everything that is exported. In a variable's name, capitals become lower case and `_` becomes `.`.",
      '{ "deployment.environment.name" = "production" }',
    ),
  }),
  state: section("Where accepted records are stored until they are delivered.", {
    path: directory(
      "Directory, created if it is missing; relative to the working directory. `:memory:` keeps nothing across a restart. Empty: `$XDG_STATE_HOME/tailscale2otel` or `~/.local/state/tailscale2otel`, `/var/lib/tailscale2otel` as root on Linux, `~/Library/Application Support/tailscale2otel` on macOS.",
      '"/var/lib/tailscale2otel"',
    ),
    max_bytes: bytes(
      "1GiB",
      "32MiB",
      "Maximum size of the database on disk. Undelivered records are never dropped to stay below it: when they fill it, senders get 503.",
    ),
    retention: duration("24h", ["0", "365d"], "How long delivered records are kept for a replay."),
    durability: choice(
      ["full", "normal"],
      "full",
      "`full`: acknowledged records survive a power failure. `normal`: they survive a crash of the program, but not always one of the machine.",
    ),
  }),
  dedup: section("Detection of duplicates.", {
    flow_window: window("6h", "flow records"),
    audit_window: window("48h", "audit records"),
    webhook_window: window(
      "26h",
      "webhook events",
      " At least `webhook.late_retry_window` plus twice `webhook.tolerance`, or a replay could count.",
    ),
    max_keys: integer(
      4_000_000,
      [1000, 100_000_000],
      "Maximum flow record identities to remember, at about 25 bytes of memory each.",
    ),
  }),
  admin: section("The listener for operators: health, `/metrics` for Prometheus, `/api/status`.", {
    enabled: boolean(true, "Whether to run the listener."),
    listen: listen("127.0.0.1:9091", "Address to listen on. A token is required unless it is loopback."),
    token: secret(
      "Token that every request must send as `Authorization: Bearer`, except for `/healthz` and `/readyz`.",
    ),
  }),
  self_observability: section("Telemetry about the program itself.", {
    enabled: boolean(true, "Whether to export metrics about the program itself."),
    logs: boolean(false, "Whether to export the program's own log lines too."),
    instance_id: text(
      "",
      "^[^\\x00-\\x1f\\x7f]*$",
      "`service.instance.id`. Empty: generated once and kept in the state directory.",
      '"edge-1"',
    ),
  }),
});

/** Every setting with its value. Durations are milliseconds, sizes bytes, files absolute paths. */
export type Config = Static<typeof configSchema>;

/** All sections and settings, in the order of the schema. */
export const sections = sectionsOf(configSchema);
export const settings: readonly Setting[] = sections.flatMap((one) => one.settings);

/** The value of a setting in a configuration. */
export function valueOf(config: Config, setting: Setting): unknown {
  return setting.path.reduce<unknown>((table, name) => (table as Record<string, unknown>)[name], config);
}

/** The logs that can be polled, by the names of their sections. */
export type CollectedLog = "flowlogs" | "auditlogs";

export const collectedLogs: readonly CollectedLog[] = ["flowlogs", "auditlogs"];

export function usesOauth({ tailscale: { auth } }: Pick<Config, "tailscale">): boolean {
  return auth.oauth.client_id !== "" && auth.oauth.client_secret !== "";
}

/** Whether there are credentials for the API. */
export function hasCredentials(config: Pick<Config, "tailscale">): boolean {
  return usesOauth(config) || config.tailscale.auth.apikey !== "";
}

/** Whether the settings ask for the log to be polled, with credentials or without. */
export function wantsPoll({ collectors: of }: Pick<Config, "collectors">, log: CollectedLog): boolean {
  return of[log].enabled && of[log].source !== "stream";
}

export function isPolled(config: Pick<Config, "collectors" | "tailscale">, log: CollectedLog): boolean {
  return wantsPoll(config, log) && hasCredentials(config);
}

export function readsDevices(config: Pick<Config, "collectors" | "tailscale">): boolean {
  return config.collectors.devices.enabled && hasCredentials(config);
}
