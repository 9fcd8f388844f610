/**
 * What a reload may change. The reloadable settings of the next configuration are merged into the running one, and that
 * mixture is what has to be valid and what is applied: each of the two may be safe while the mixture is not.
 */
import { describeWarning, type Problem } from "./diagnosis.ts";
import { judge } from "./judge.ts";
import { type ConfigSources, type Inspection, inspectConfig } from "./load.ts";
import { type Config, hasCredentials, settings, valueOf } from "./schema.ts";

export interface ReloadInspection extends Inspection {
  /** Settings that differ from the running ones and need a restart. */
  readonly waiting: readonly string[];
  /** The files that secrets were read from, and those of TLS towards the backend. Listeners watch their own. */
  readonly files: readonly string[];
}

/** Reads everything again. With problems, nothing may be applied; without, `config` is what to run with from now on. */
export function inspectReload(running: Config, sources: ConfigSources): ReloadInspection {
  const next = withoutStart(inspectConfig(sources));
  const files = secretFilesOf(next);
  if (next.problems.length > 0) return { ...next, waiting: [], files };
  const { config, waiting } = mergeReload(running, next.config);
  const { problems, warnings } = withoutStart(judge({ config, origins: next.origins, broken: new Set() }));
  const known = new Set(next.warnings.map(describeWarning));
  const more = warnings.filter((warning) => !known.has(describeWarning(warning)));
  return { ...next, config, problems, warnings: [...next.warnings, ...more], waiting, files };
}

/** Without what only matters at the start: an expired certificate must not stop a token from being revoked. */
function withoutStart<Judgement extends { readonly problems: readonly Problem[] }>(judgement: Judgement): Judgement {
  return { ...judgement, problems: judgement.problems.filter(({ onlyAtStart }) => onlyAtStart !== true) };
}

/** The files whose change is a reason to read everything again. */
export function secretFilesOf({ origins, config }: Pick<Inspection, "origins" | "config">): readonly string[] {
  const { ca_file: ca, cert_file: cert, key_file: key } = config.otlp.tls;
  const files = [...origins.values()].flatMap(({ secretFile }) => secretFile ?? []);
  return [...new Set([...files, ca, cert, key])].filter((file) => file !== "");
}

/** Settings that are reloaded together or not at all. */
interface Group {
  /** Keys, and sections with a dot at the end. */
  readonly keys: readonly string[];
  /** Why the group has to wait for a restart; `merged` is what would be applied. */
  readonly waits?: (running: Config, next: Config, merged: Config) => boolean;
}

const groups: readonly Group[] = [
  { keys: ["log_level"] },
  {
    keys: ["tailscale.auth."],
    // Whether there are credentials decides what runs, and new ones must not go to the old address.
    waits: (running, next) =>
      hasCredentials(running) !== hasCredentials(next) ||
      running.tailscale.base_url !== next.tailscale.base_url ||
      running.tailscale.tailnet !== next.tailscale.tailnet,
  },
  {
    keys: ["otlp.headers", "otlp.metrics.headers", "otlp.logs.headers", "otlp.grafana_cloud.", "otlp.tls."],
    waits: ({ otlp: running }, { otlp: next }) =>
      running.endpoint !== next.endpoint ||
      running.metrics.endpoint !== next.metrics.endpoint ||
      running.logs.endpoint !== next.logs.endpoint ||
      running.protocol !== next.protocol,
  },
  // A listener keeps its address until a restart, so it never loses its authentication before that.
  {
    keys: ["streaming.token", "streaming.token_previous"],
    waits: ({ streaming: running }, _, { streaming: merged }) =>
      `${running.token}${running.token_previous}` !== "" && `${merged.token}${merged.token_previous}` === "",
  },
  {
    keys: ["webhook.secret", "webhook.secret_previous"],
    waits: ({ webhook: running }, _, { webhook: merged }) =>
      `${running.secret}${running.secret_previous}` !== "" && `${merged.secret}${merged.secret_previous}` === "",
  },
  { keys: ["admin.token"], waits: ({ admin: running }, { admin: next }) => running.token !== "" && next.token === "" },
  // The certificate can be replaced, but a listener cannot change between TLS and plain HTTP.
  ...(["streaming", "webhook"] as const).map((receiver): Group => ({
    keys: [`${receiver}.tls.`],
    waits: (running, next) => (running[receiver].tls.cert_file === "") !== (next[receiver].tls.cert_file === ""),
  })),
];

/** The running configuration with the reloadable settings of the next one, and the keys in which the two still differ. */
export function mergeReload(running: Config, next: Config): { config: Config; waiting: readonly string[] } {
  const merged = structuredClone(running);
  for (const { keys, waits } of groups) {
    copySettings(keys, next, merged);
    if (waits?.(running, next, merged) === true) copySettings(keys, running, merged);
  }
  const waiting = settings.filter(
    (setting) => JSON.stringify(valueOf(merged, setting)) !== JSON.stringify(valueOf(next, setting)),
  );
  return { config: merged, waiting: waiting.map(({ key }) => key) };
}

function copySettings(keys: readonly string[], from: Config, to: Config): void {
  for (const setting of settings) {
    if (!keys.some((key) => (key.endsWith(".") ? setting.key.startsWith(key) : setting.key === key))) continue;
    let table = to as unknown as Record<string, unknown>;
    for (const name of setting.path.slice(0, -1)) table = table[name] as Record<string, unknown>;
    table[setting.path.at(-1) ?? ""] = valueOf(from, setting);
  }
}
