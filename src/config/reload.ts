/** What of a configuration may change while the program runs, and which files beside it can bring that about. */
import { hasCredentials } from "./api-use.ts";
import { changedKeys } from "./effective.ts";
import type { Loaded } from "./load.ts";
import type { Config } from "./schema.ts";

const reloadedKeys: ReadonlySet<string> = new Set([
  "log_level",
  "tailscale.auth.apikey",
  "tailscale.auth.oauth.client_id",
  "tailscale.auth.oauth.client_secret",
  "tailscale.auth.oauth.scopes",
  "streaming.token",
  "streaming.token_previous",
  "streaming.tls.cert_file",
  "streaming.tls.key_file",
  "webhook.secret",
  "webhook.secret_previous",
  "webhook.tls.cert_file",
  "webhook.tls.key_file",
  "otlp.headers",
  "otlp.metrics.headers",
  "otlp.logs.headers",
  "otlp.grafana_cloud.instance_id",
  "otlp.grafana_cloud.token",
  "otlp.tls.ca_file",
  "otlp.tls.cert_file",
  "otlp.tls.key_file",
  "otlp.tls.insecure_skip_verify",
  "admin.token",
]);

/** The keys that differ from what the program was started with, and need a restart. */
export function keysThatWait(started: Config, next: Config): readonly string[] {
  const waits = (key: string): boolean =>
    !reloadedKeys.has(key) || isTlsSwitched(key, started, next) || isApiSwitched(key, started, next);
  return changedKeys(started, next).filter(waits);
}

/** The files that secrets were read from, and those of TLS towards the backend. Listeners look after their own. */
export function secretFilesOf({ origins, config }: Pick<Loaded, "origins" | "config">): readonly string[] {
  const { ca_file: ca, cert_file: cert, key_file: key } = config.otlp.tls;
  const files = [...origins.values()].flatMap(({ secretFile }) => secretFile ?? []);
  return [...new Set([...files, ca, cert, key])].filter((file) => file !== "");
}

/** Credentials can be others, but whether there are any decides what runs. */
function isApiSwitched(key: string, was: Config, is: Config): boolean {
  return key.startsWith("tailscale.auth.") && hasCredentials(was) !== hasCredentials(is);
}

/** A listener can change its certificate, but not between TLS and plain HTTP. */
function isTlsSwitched(key: string, was: Config, is: Config): boolean {
  const receiver = (["streaming", "webhook"] as const).find((name) => key.startsWith(`${name}.tls.`));
  if (receiver === undefined) return false;
  return (was[receiver].tls.cert_file === "") !== (is[receiver].tls.cert_file === "");
}
