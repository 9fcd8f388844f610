/**
 * Decides what a reload may change. The reloadable settings of the next configuration are merged into the running one, and the
 * result is validated and applied, because each of the two may be safe while their combination is not.
 */
import type { Finding, Inspection } from "./diagnosis.ts";
import { readConfig } from "./index.ts";
import type { ConfigSources } from "./layers.ts";
import { judge } from "./rules.ts";
import { usesTls } from "./schema-inputs.ts";
import { type Config, destinationSections, hasCredentials, settingsOf, valueAt } from "./schema.ts";
import { overriddenBy } from "./schema-tailnet.ts";
import type { Setting } from "./setting.ts";

export interface ReloadInspection extends Inspection {
  /** Settings that differ from the running ones and need a restart. */
  readonly waiting: readonly string[];
  /** All settings that differ, including those of a destination that is added, removed or replaced. */
  readonly differing: readonly string[];
}

/** The running settings and their origins after a reload; a setting that waits for a restart keeps its previous origin. */
export function appliedAfter(
  before: Pick<Inspection, "origins">,
  { config, warnings, origins, waiting, differing }: ReloadInspection,
): Pick<ReloadInspection, "config" | "warnings" | "origins" | "waiting"> {
  const waits = (key: string): boolean => differing.some((one) => key === one || key.startsWith(`${one}.`));
  const kept = [...before.origins].filter(([key]) => waits(key));
  return { config, warnings, waiting, origins: new Map([...[...origins].filter(([key]) => !waits(key)), ...kept]) };
}

/**
 * Reads everything again. If there are problems, nothing may be applied. Otherwise `config` is the configuration to run from
 * now on, and warnings are about it, not about settings that wait for a restart.
 */
export function inspectReload(running: Config, sources: ConfigSources): ReloadInspection {
  const next = readConfig({ ...sources, isReload: true });
  const refused = (problems: readonly Finding[]) => ({ ...next, problems, warnings: [], waiting: [], differing: [] });
  if (next.isUnread) return refused(next.problems);
  const nextProblems = [...next.problems, ...judge(next).problems].filter(matters);
  if (nextProblems.length > 0) return refused(nextProblems);
  const { config, notices, ...later } = mergeReload(running, next.config);
  const { problems, warnings } = judge({ ...next, config, problems: [] });
  const all = [...next.warnings, ...notices, ...warnings];
  return { ...next, config, problems: problems.filter(matters), warnings: all, ...later };
}

/** Problems that only prevent a start do not matter here: an expired certificate must not keep a token from being revoked. */
function matters({ onlyAtStart }: Finding): boolean {
  return onlyAtStart !== true;
}

/** Files that trigger a reload when they change: secrets, and TLS files for backends. Listeners watch their own files. */
export function secretFilesOf({ origins, config }: Pick<Inspection, "origins" | "config">): readonly string[] {
  const files = [...origins.values()].flatMap(({ secretFile }) => secretFile ?? []);
  const pem = destinationSections(config).flatMap(([, { tls }]) => [tls.ca_file, tls.cert_file, tls.key_file]);
  return [...new Set([...files, ...pem])].filter((file) => file !== "");
}

/** Settings that are reloaded together or not at all. */
interface Group {
  /** Keys, and sections ending in a dot. */
  readonly keys: readonly string[];
  /** Returns true if the group has to wait for a restart, or a message about it; `merged` is what would be applied. */
  readonly waits?: (running: Config, next: Config, merged: Config) => boolean | string;
}

const groupsOf = (config: Config): readonly Group[] => [
  { keys: ["log_level"] },
  ...["", ...config.tailnet.map((_, index) => `tailnet.${index}.`)].flatMap(groupsOfTailnet),
  ...destinationSections(config).map(([at]): Group => ({
    keys: ["headers", "metrics.headers", "logs.headers", "grafana_cloud.", "tls."].map((name) => `${at}.${name}`),
    waits: (running, next) =>
      ["name", "endpoint", "metrics.endpoint", "logs.endpoint", "protocol"].some((name) =>
        differs(running, next, `${at}.${name}`),
      ),
  })),
  secretsGroup("admin", "token", ["token"]),
  // A certificate can be replaced, but a listener cannot switch between TLS and plain HTTP.
  ...(["streaming", "webhook", "admin"] as const).map((listener): Group => ({
    keys: [`${listener}.tls.`, "tailscale.socket"],
    waits: (running, next) => usesTls(running[listener].tls) !== usesTls(next[listener].tls),
  })),
];

/**
 * The reloadable settings of a tailnet. A tailnet that is added, removed or renamed waits for a restart. `at`: the prefix of
 * its keys.
 */
function groupsOfTailnet(at: string): readonly Group[] {
  const isReplaced = (running: Config, next: Config): boolean => at !== "" && differs(running, next, `${at}name`);
  const credentialsIn = (config: Config): boolean => {
    const tailscale = valueAt(config, `${at}tailscale`) as Config["tailscale"] | undefined;
    return tailscale !== undefined && hasCredentials({ tailscale });
  };
  return [
    {
      keys: [`${at}tailscale.auth.`],
      // The presence of credentials decides what runs, and new credentials must not be sent to the old address.
      waits: (running, next) =>
        isReplaced(running, next) ||
        credentialsIn(running) !== credentialsIn(next) ||
        ["tailscale.base_url", `${at}tailscale.tailnet`].some((key) => differs(running, next, key)),
    },
    secretsGroup(`${at}streaming`, "token", ["token", "token_previous"], isReplaced),
    secretsGroup(`${at}webhook`, "secret", ["secret", "secret_previous"], isReplaced),
  ];
}

/** A listener keeps its address until a restart, so it must not lose its authentication before then. */
function secretsGroup(
  listener: string,
  secret: string,
  names: readonly string[],
  isReplaced = (_running: Config, _next: Config): boolean => false,
): Group {
  const keys = names.map((name) => `${listener}.${name}`);
  const secretsOf = (config: Config) => keys.map((key) => valueAt(config, key)).join("");
  return {
    keys,
    waits(running, next, merged) {
      if (isReplaced(running, next)) return true;
      if (secretsOf(running) === "" || secretsOf(merged) !== "") return false;
      return `it was removed, but the listener keeps requiring the ${secret} in force until a restart`;
    },
  };
}

/** The running configuration with the reloadable settings of the next one, and the keys in which the two still differ. */
export function mergeReload(running: Config, next: Config) {
  const merged = structuredClone(running);
  const notices: Finding[] = [];
  const settings = settingsOf(running, next);
  const copy = (keys: readonly string[], from: Config): void =>
    copySettings(
      settings.filter(({ key }) => keys.some((one) => (one.endsWith(".") ? key.startsWith(one) : key === one))),
      from,
      merged,
    );
  for (const { keys, waits } of groupsOf(running)) {
    copy(keys, next);
    const message = waits?.(running, next, merged) ?? false;
    if (message === false) continue;
    copy(keys, running);
    const [key = ""] = keys;
    if (message !== true) notices.push({ severity: "warning", key, message, remedy: "Restart to run without it." });
  }
  const unlike = settings.filter(({ key }) => differs(merged, next, key));
  // For a destination or tailnet that is added, removed or replaced, only its name is reported.
  const isReplaced = ({ item }: Setting) =>
    item !== undefined && differs(merged, next, `${item.array}.${item.index}.name`);
  const isNamed = (one: Setting) => !isReplaced(one) || one.path.at(-1) === "name";
  const isShared = (one: Setting) => [merged, next].every((config) => isInherited(one, config));
  const waiting = unlike.filter((one) => isNamed(one) && !isShared(one)).map(({ key }) => key);
  return { config: merged, waiting, differing: unlike.map(({ key }) => key), notices };
}

function differs(one: Config, other: Config, key: string): boolean {
  return JSON.stringify(valueAt(one, key)) !== JSON.stringify(valueAt(other, key));
}

/** True if a tailnet's setting has the value shared by all tailnets. */
function isInherited(setting: Setting, config: Config): boolean {
  const key = overriddenBy(setting);
  return key !== undefined && valueAt(config, key) === valueAt(config, setting.key);
}

function copySettings(settings: readonly Setting[], from: Config, to: Config): void {
  for (const { key, path } of settings) {
    const table = path.length === 1 ? to : valueAt(to, path.slice(0, -1).join("."));
    if (table === undefined || valueAt(from, key) === undefined) continue;
    (table as Record<string, unknown>)[path.at(-1) ?? ""] = valueAt(from, key);
  }
}
