/**
 * Defines every setting once; types, defaults, validation, variables, the reference and the example file are derived from it.
 */
import type { Static } from "@sinclair/typebox";
import { collectors, listenerTls, streaming, tailscale, webhook } from "./schema-inputs.ts";
import { maxAlso, otlp } from "./schema-otlp.ts";
import { maxTailnets, tailnets } from "./schema-tailnet.ts";
import {
  boolean,
  bytes,
  choice,
  directory,
  duration,
  file,
  integer,
  listen,
  map,
  secret,
  section,
  type Section,
  sectionsOf,
  type Setting,
  text,
} from "./setting.ts";

const cardinality = section("Limits for the number of metric series.", {
  metric_limit: integer(
    10_000,
    [1, 10_000_000],
    "Maximum series per metric. Further ones are added to one series with `otel.metric.overflow=true`.",
  ),
  series_ttl: duration("24h", ["1m", "365d"], "How long a series is still exported after its last change."),
  flow: section("Flow metrics.", {
    metrics_mode: choice(
      ["all", "rollup", "both"],
      "rollup",
      "`all` exports every pair of nodes, `rollup` only the busiest pairs with the rest summed as `__other__`, and `both` exports both.",
    ),
    rollup_top_n: integer(500, [1, 8000], "Number of node pairs that the rollup keeps per interval."),
    source_port: boolean(false, "Add the source port to the metrics of `all`. Creates very many series."),
    destination_port: boolean(false, "Add the destination port to the metrics of `all`."),
    node_dims: boolean(true, "Add the names of the source and destination nodes."),
    identity_dims: boolean(false, "Add the user, tags and operating system of both nodes."),
    collapse_external: boolean(true, "Replace addresses of unknown nodes with `external` or `unknown`."),
    exit_node_attribution: boolean(true, "Also count exit traffic per exit node, in separate metrics."),
  }),
});

const hidden = (description: string) => choice(["keep", "drop", "hash"], "keep", description);

const privacy = section(
  "What is exported about people and machines. `keep` exports it, `drop` leaves it out, and `hash` exports a keyed hash instead, which stays the same as long as the state directory exists. Counts and totals are not affected.",
  {
    emails: hidden("E-mail addresses, login names and display names."),
    user_ids: hidden("User IDs."),
    hostnames: hidden("Node names."),
    node_ids: hidden("Node IDs."),
    tailscale_ips: hidden("Tailscale addresses."),
    internal_ips: hidden("Private addresses outside the tailnet."),
    external_ips: hidden("Public addresses."),
    tailnet_name: hidden("The tailnet name."),
    free_text: hidden(
      "Free text: messages, details, errors, old and new values. With `keep`, what the other settings hide is also hidden in it.",
    ),
  },
);

const window = (written: string, of: string, more = "") =>
  duration(written, ["1m", "365d"], `How long ${of} are remembered.${more}`);

const databaseTls = section("TLS of the connection to the database.", {
  ca_file: file("CA certificates (PEM) to trust instead of the system's.", "database-ca.pem"),
  cert_file: file("Client certificate (PEM). Needs `key_file`.", "database-client-cert.pem"),
  key_file: file("Key of the client certificate (PEM), without a passphrase.", "database-client-key.pem"),
});

export const configSchema = section("The configuration of tailscale2otel.", {
  log_level: choice(["debug", "info", "warn", "error"], "info", "Minimum severity of the program's own log lines."),
  log_format: choice(
    ["auto", "text", "json"],
    "auto",
    "`auto` means text on a terminal, otherwise JSON, one object per line. Log lines go to stderr.",
  ),
  tailscale,
  collectors,
  streaming,
  webhook,
  tailnet: tailnets,
  cardinality,
  privacy,
  otlp,
  resource: section("The OpenTelemetry resource.", {
    attributes: map(
      "attribute",
      "Resource attributes of all metrics and logs. In the name of a variable, capitals stand for lower case and `_` stands for `.`.",
      '{ "deployment.environment.name" = "production" }',
    ),
  }),
  state: section("Where accepted records are stored until they are delivered.", {
    url: secret(
      "A PostgreSQL database that stores them instead of the directory: `postgres://user:password@host:port/database`. Several hosts are separated by commas. `?sslmode=` is `disable`, `prefer` (the default), `require`, `verify-ca` or `verify-full`. Several instances may share one database.",
      "postgres://tailscale2otel:choose-a-password@db.example.com/tailscale2otel?sslmode=verify-full",
    ),
    schema: text(
      "tailscale2otel",
      "^[a-z_][a-z0-9_]{0,47}$",
      "Schema of the database, created if it is missing: lower-case letters, digits and `_`.",
      '"tailscale2otel"',
    ),
    lease: duration("10s", ["1s", "1m"], "How long after the death of the leading instance another one takes over."),
    tls: databaseTls,
    path: directory(
      "Directory, created if it is missing; a relative path starts at the working directory. `:memory:` keeps nothing across a restart. If it is empty, the directory is `$XDG_STATE_HOME/tailscale2otel` or `~/.local/state/tailscale2otel`; as root on Linux, `/var/lib/tailscale2otel`; on macOS, `~/Library/Application Support/tailscale2otel`; on Windows, `%LOCALAPPDATA%\\tailscale2otel`.",
      '"/var/lib/tailscale2otel"',
    ),
    max_bytes: bytes(
      "1GiB",
      "32MiB",
      "Maximum size of the database on disk. Undelivered records are never dropped to stay below it; when they fill it, senders get 503.",
    ),
    retention: duration("24h", ["0", "365d"], "How long delivered records are kept for replays."),
    durability: choice(
      ["full", "normal"],
      "full",
      "With `full`, acknowledged records survive a power failure. With `normal`, they survive a crash of the program, but not always one of the machine.",
    ),
  }),
  dedup: section("Deduplication: how long and how many accepted records are remembered.", {
    flow_window: window("6h", "flow records"),
    audit_window: window("48h", "audit records"),
    webhook_window: window(
      "26h",
      "webhook events",
      " At least `webhook.late_retry_window` plus twice `webhook.tolerance`, so that a replayed delivery is never counted.",
    ),
    max_keys: integer(
      4_000_000,
      [1000, 100_000_000],
      "Maximum number of flow records to remember, at about 25 bytes of memory each.",
    ),
  }),
  admin: section(
    "The admin listener: the live page, health checks, `/metrics` for Prometheus, and the API behind all of them.",
    {
      enabled: boolean(true, "Run the listener."),
      listen: listen("127.0.0.1:9091", "Address to listen on. Unless it is a loopback address, a token is required."),
      token: secret(
        "Token that every request must send as `Authorization: Bearer <token>`, except to `/healthz`, `/readyz` and the page, which asks for it.",
      ),
      tls: listenerTls,
    },
  ),
  self_observability: section("Telemetry about the program itself.", {
    enabled: boolean(true, "Export metrics about the program itself."),
    logs: boolean(false, "Export the program's own log lines too."),
    instance_id: text(
      "",
      "^[^\\x00-\\x1f\\x7f]*$",
      "Value of `service.instance.id`. If it is empty, one is generated and kept in the state directory.",
      '"edge-1"',
    ),
  }),
});

/** Every setting with its value. Durations are in milliseconds, sizes in bytes, and file paths absolute. */
export type Config = Static<typeof configSchema>;

/** Arrays of tables by key, with their maximum number of tables. */
export const arrayKeys: ReadonlyMap<string, number> = new Map([
  ["tailnet", maxTailnets],
  ["otlp.also", maxAlso],
]);

/** All sections and settings, in the order of the schema. An array is represented by its first table. */
export const sections = sectionsOf(configSchema, () => 1);
export const settings: readonly Setting[] = sections.flatMap((one) => one.settings);

/** The sections of all possible tables: hundreds, for completion and suggestions only. */
export function possibleSections(): readonly Section[] {
  return sectionsOf(configSchema, (_, most) => most);
}

/** The settings, given the number of tables in each array. */
export function settingsWith(tablesIn: (array: string) => number): readonly Setting[] {
  return sectionsOf(configSchema, tablesIn).flatMap((one) => one.settings);
}

/** The settings that exist in at least one of the configurations. */
export function settingsOf(...configs: readonly Config[]): readonly Setting[] {
  return settingsWith((array) => Math.max(...configs.map((config) => (valueAt(config, array) as unknown[]).length)));
}

/** The value of a setting by key; undefined if the configuration has no such table. */
export function valueAt(config: Config, key: string): unknown {
  return key
    .split(".")
    .reduce<unknown>((table, name) => (table as Record<string, unknown> | undefined)?.[name], config);
}

/** All destinations with the keys of their sections, starting with the primary one. */
export function destinationSections(
  config: Pick<Config, "otlp">,
): readonly (readonly [key: string, settings: Config["otlp"] | AlsoConfig])[] {
  const further = config.otlp.also.map((one, index) => [`otlp.also.${index}`, one] as const);
  return [["otlp", config.otlp], ...further];
}

/** An additional destination. */
export type AlsoConfig = Config["otlp"]["also"][number];

/** One of several tailnets. */
export type TailnetSection = Config["tailnet"][number];

/** The logs that can be polled, by section name. */
export type CollectedLog = "flowlogs" | "auditlogs";

export const collectedLogs: readonly CollectedLog[] = ["flowlogs", "auditlogs"];

export function usesOauth({ tailscale: { auth } }: Pick<Config, "tailscale">): boolean {
  return auth.oauth.client_id !== "" && auth.oauth.client_secret !== "";
}

/** True if there are credentials for the API. */
export function hasCredentials(config: Pick<Config, "tailscale">): boolean {
  return usesOauth(config) || config.tailscale.auth.apikey !== "";
}

/** True if the settings request polling of the log, with or without credentials. */
export function wantsPoll({ collectors: of }: Pick<Config, "collectors">, log: CollectedLog): boolean {
  return of[log].enabled && of[log].source !== "stream";
}

export function isPolled(config: Pick<Config, "collectors" | "tailscale">, log: CollectedLog): boolean {
  return wantsPoll(config, log) && hasCredentials(config);
}

export function readsDevices(config: Pick<Config, "collectors" | "tailscale">): boolean {
  return config.collectors.devices.enabled && hasCredentials(config);
}
