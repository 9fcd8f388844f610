/** Every setting, once. Everything else about settings is derived from this by `walk.ts`. */
import type { Static } from "@sinclair/typebox";
import { streaming, webhook } from "./schema-inputs.ts";
import { admin, cardinality, otlp, privacy, resource, selfObservability } from "./schema-outputs.ts";
import { collectors, tailscale } from "./schema-tailscale.ts";
import { choice, duration, integer, section, bytes, directory } from "./setting.ts";

const state = section("Where accepted records are kept until they are delivered.", {
  path: directory({
    description:
      "A directory, made if it is missing; a relative path begins at the working directory. `:memory:` keeps nothing across a restart. Empty: the platform's own place for state: `$XDG_STATE_HOME/tailscale2otel` or `~/.local/state/tailscale2otel`, `/var/lib/tailscale2otel` as root on Linux, `~/Library/Application Support/tailscale2otel` on macOS.",
    example: '"/var/lib/tailscale2otel"',
  }),
  max_bytes: bytes({
    default: "1GiB",
    minimum: "32MiB",
    description:
      "The most that the database takes on disk. Undelivered records are never dropped for it: when they fill it, senders are told to come back later.",
  }),
  retention: duration({
    default: "24h",
    minimum: "0",
    maximum: "365d",
    description: "How long delivered records are kept.",
  }),
  durability: choice({
    choices: ["full", "normal"],
    default: "full",
    description:
      "`full`: what is acknowledged survives a power failure. `normal`: it survives a crash of the program, but not always one of the machine.",
  }),
});

const dedup = section("How long it is remembered which records have been seen.", {
  flow_window: duration({
    default: "6h",
    minimum: "1m",
    maximum: "365d",
    description: "How long the identity of a flow record is kept.",
  }),
  audit_window: duration({
    default: "48h",
    minimum: "1m",
    maximum: "365d",
    description: "How long the identity of an audit record is kept.",
  }),
  webhook_window: duration({
    default: "26h",
    minimum: "1m",
    maximum: "365d",
    description:
      "How long the identity of a webhook event is kept. Not below `webhook.late_retry_window` and twice `webhook.tolerance` together, or a replay could count.",
  }),
  max_keys: integer({
    default: 4_000_000,
    minimum: 1000,
    maximum: 100_000_000,
    description: "The most identities of flow records that are kept, at about 20 bytes of memory each.",
  }),
});

export const configSchema = section("The configuration of tailscale2otel.", {
  log_level: choice({
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    description: "The least important log lines that are written. Read again on SIGHUP.",
  }),
  log_format: choice({
    choices: ["auto", "text", "json"],
    default: "auto",
    description: "`auto`: readable text on a terminal, one JSON object a line otherwise. Log lines go to stderr.",
  }),
  tailscale,
  collectors,
  streaming,
  webhook,
  cardinality,
  privacy,
  otlp,
  resource,
  state,
  dedup,
  admin,
  self_observability: selfObservability,
});

/** Every setting with its value. Durations are milliseconds, sizes bytes. */
export type Config = Static<typeof configSchema>;
