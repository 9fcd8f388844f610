/** What of a configuration may change while the program runs, and which files beside it can bring that about. */
import { changedKeys } from "./effective.ts";
import type { Loaded } from "./load.ts";
import type { Config } from "./schema.ts";

const reloadedKeys: ReadonlySet<string> = new Set([
  "log_level",
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
  "admin.token",
]);

/** The keys that differ from what the program was started with, and need a restart. */
export function keysThatWait(started: Config, next: Config): readonly string[] {
  const waits = (key: string): boolean => !reloadedKeys.has(key) || isTlsSwitched(key, started, next);
  return changedKeys(started, next).filter(waits);
}

/** The files that secrets were read from. */
export function secretFilesOf({ origins }: Pick<Loaded, "origins">): readonly string[] {
  const files = [...origins.values()].flatMap(({ secretFile }) => secretFile ?? []);
  return [...new Set(files)];
}

/** A listener can change its certificate, but not between TLS and plain HTTP. */
function isTlsSwitched(key: string, was: Config, is: Config): boolean {
  const receiver = (["streaming", "webhook"] as const).find((name) => key.startsWith(`${name}.tls.`));
  if (receiver === undefined) return false;
  return (was[receiver].tls.cert_file === "") !== (is[receiver].tls.cert_file === "");
}
