/** Loads the configuration from all sources of settings, or reports every problem in it. */
import { dirname, isAbsolute, join, resolve } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { ConfigError } from "../errors.ts";
import {
  defaultOrigin,
  describeFinding,
  describeOrigin,
  type Finding,
  inReadingOrder,
  type Inspection,
  type Origin,
} from "./diagnosis.ts";
import { type ConfigFile, openConfigFile } from "./files.ts";
import { type ConfigSources, type Given, type Layers, readEnvironment, readFlags, type System } from "./layers.ts";
import { readOtelEnvironment } from "./otel-variables.ts";
import { judge } from "./rules.ts";
import { arrayKeys, type Config, configSchema, settingsOf, settingsWith, valueAt } from "./schema.ts";
import { overriddenBy } from "./schema-tailnet.ts";
import type { Setting } from "./setting.ts";
import { readToml } from "./toml.ts";
import { assign, displayValue, findingOf, readSecret, redacted, type Slot } from "./values.ts";

export { describeFinding, describeOrigin, type Inspection } from "./diagnosis.ts";
export { whyUnusablePair } from "./files.ts";
export { type ConfigSources, otherVariables, type System, variableOf } from "./layers.ts";
export { defaultMaxBodyBytes, usesTls } from "./schema-inputs.ts";
export { type Config, destinationSections, hasCredentials, isPolled, readsDevices, usesOauth } from "./schema.ts";
export { databaseText } from "./postgres-url.ts";
export { subscriptionsOf, subscriptionTypes, subscriptionWords } from "./words.ts";
export { statePathOf, type TailnetConfig, tailnetConfigs, tailnetName, tailnetPath, withKeysOf } from "./tailnets.ts";
export { displayUrl } from "./values.ts";

/**
 * Loads defaults, then the file, then variables, then flags. Reads the configuration file and the files of secrets.
 * @throws {ConfigError} with all problems at once.
 */
export function loadConfig(sources: ConfigSources): Inspection {
  const inspection = inspectConfig(sources);
  if (inspection.problems.length > 0) throw new ConfigError(inspection.problems.map(describeFinding));
  return inspection;
}

/**
 * For commands that need only these sections; other problems are left for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, or a flag or a value in these sections is invalid.
 */
export function loadSections(sources: ConfigSources, names: readonly string[]): Inspection {
  const inspection = inspectConfig(sources);
  const isNeeded = (key: string): boolean =>
    inspection.broken.has(key) && names.some((name) => key.startsWith(`${name}.`));
  const fatal = inspection.problems.filter(
    ({ origin, key, meant = key.replace(/_file$/, "") }) =>
      (inspection.isUnread && origin?.from === "file") || origin?.from === "flag" || isNeeded(meant),
  );
  if (fatal.length > 0) throw new ConfigError(fatal.map(describeFinding));
  return inspection;
}

/**
 * Like `loadConfig`, without throwing. If there are problems, warnings of rules are left out, because invalid settings would
 * mislead.
 */
export function inspectConfig(sources: ConfigSources): Inspection {
  const read = readConfig(sources);
  if (read.isUnread) return read;
  const { config, broken, origins } = read;
  const { problems, warnings } = judge(read);
  const key = "state.path";
  const state =
    broken.has(key) || broken.has("state.url") || config.state.url !== ""
      ? undefined
      : sources.whyUnusableState?.(
          config.state.path,
          config.tailnet.map(({ name }) => name),
        );
  const ofState: Finding[] =
    state === undefined ? [] : [{ severity: "error", origin: origins.get(key), key, ...state }];
  return {
    ...read,
    problems: inReadingOrder([...read.problems, ...problems, ...ofState]),
    warnings: [...read.warnings, ...warnings],
  };
}

/** Reads every value and checks each one on its own. If a setting has several values, the last one wins. */
export function readConfig(sources: ConfigSources): Inspection {
  const { environment, workingDirectory } = sources;
  const layers: Layers = { given: [], findings: [], tables: new Map() };
  const { given, findings } = layers;
  const file = openConfigFile(sources);
  readOtelEnvironment(environment, layers);
  const isUnread = file !== undefined && !readFile(file, layers);
  readEnvironment(environment, layers);
  readFlags(sources.assignments, layers);
  const fileDirectory = dirname(resolve(workingDirectory, file?.path ?? ""));
  const resolvePath = (path: string, { from }: Origin) =>
    resolve(from === "file" ? fileDirectory : workingDirectory, path);
  const broken = new Set(findings.flatMap(({ meant }) => meant ?? []));
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const setting of settingsIn(layers)) {
    const { key } = setting;
    const slot: Slot = { entries: new Map() };
    const invalid = givenFor(setting, given).map((one) => findingOf(one, assign(slot, one, resolvePath)));
    for (const finding of [...invalid, readSecret(slot, key)].filter((one) => one !== undefined)) {
      findings.push(finding);
      if (finding.severity === "error") broken.add(key);
    }
    const { value = inherited(setting, values, origins), entries } = slot;
    const record = Object.fromEntries([...entries.values()].map(({ name, text }) => [name, text]));
    values.set(key, setting.kind === "map" ? record : value.read);
    for (const { name, origin } of entries.values()) origins.set(`${key}.${name}`, origin);
    if (entries.size === 0) origins.set(key, value.origin);
  }
  return {
    config: configOf(values, sources),
    origins,
    broken,
    problems: inReadingOrder(findings.filter(({ severity }) => severity === "error")),
    warnings: findings.filter(({ severity }) => severity === "warning"),
    configFile: file?.path || undefined,
    mode: file?.stats?.mode,
    isUnread,
  };
}

/** One line of the effective configuration. */
export interface EffectiveRow {
  readonly key: string;
  /** As written in TOML; `[redacted]` for a secret. */
  readonly value: string;
  /** `default`, `file:line`, a variable, or a flag. */
  readonly origin: string;
  readonly isDefault: boolean;
  readonly isSecret: boolean;
  readonly description: string;
}

/** One row per setting in the order of the schema; a map has a row for each entry. `broken` settings have no valid value. */
export function effectiveRows({
  config,
  origins,
  broken,
}: Pick<Inspection, "config" | "origins" | "broken">): readonly EffectiveRow[] {
  return settingsOf(config).flatMap((setting) => {
    const { key, kind, isSecret, description } = setting;
    const about = { isSecret, description };
    const row = (of: string, value: string): EffectiveRow => {
      const origin = origins.get(of) ?? defaultOrigin;
      return { key: of, value, origin: describeOrigin(origin), isDefault: origin.from === "default", ...about };
    };
    if (broken.has(key)) return [{ key, value: "(invalid)", origin: "see below", isDefault: false, ...about }];
    const value = valueAt(config, key);
    if (kind !== "map") return [row(key, displayValue(setting, value))];
    const entries = Object.entries(value as Record<string, string>);
    if (entries.length === 0) return [row(key, "{}")];
    return entries.map(([name, text]) => row(`${key}.${name}`, isSecret ? redacted : JSON.stringify(text)));
  });
}

/** The file that would be read. */
export function findConfigFile(sources: ConfigSources): string | undefined {
  return openConfigFile(sources)?.path;
}

/** Returns true if it is TOML. */
function readFile({ path, label = path, text, message = "", remedy = "" }: ConfigFile, layers: Layers): boolean {
  if (text !== undefined) return readToml(path, text, layers);
  layers.findings.push({
    severity: "error",
    origin: { from: "file", file: label, line: 0 },
    key: label,
    message,
    remedy,
  });
  return false;
}

/**
 * The value of a setting that is not set: its default or, for a switch of `[[tailnet]]`, the value shared by all tailnets.
 * Settings that identify a tailnet are never shared.
 */
function inherited(
  setting: Setting,
  values: ReadonlyMap<string, unknown>,
  origins: ReadonlyMap<string, Origin>,
): NonNullable<Slot["value"]> {
  const key = setting.kind === "boolean" || setting.kind === "choice" ? overriddenBy(setting) : undefined;
  if (key === undefined) return { read: structuredClone(setting.default), origin: defaultOrigin };
  return { read: values.get(key), origin: origins.get(key) ?? defaultOrigin };
}

/** The settings of all tables that exist; an array has tables up to the last one with a value. */
function settingsIn({ given, tables }: Layers): readonly Setting[] {
  const counts = new Map(tables);
  for (const {
    setting: { item },
  } of given)
    if (item !== undefined) counts.set(item.array, Math.max(counts.get(item.array) ?? 0, item.index + 1));
  return settingsWith((array) => counts.get(array) ?? 0);
}

/**
 * The program's own values win over OpenTelemetry's. Attributes are combined; headers are not, because half a set of
 * credentials is useless.
 */
function givenFor(setting: Setting, given: readonly Given[]): readonly Given[] {
  const all = given.filter((one) => one.setting.key === setting.key);
  const own = all.filter(({ isStandard }) => isStandard !== true);
  return own.length > 0 && setting.entry !== "attribute" ? own : all;
}

/** Builds tables from values by key, and asserts that the result has its type. */
function configOf(
  values: ReadonlyMap<string, unknown>,
  { environment, system, workingDirectory }: ConfigSources,
): Config {
  const config: unknown = {};
  const tables = [...arrayKeys.keys()].map((key) => [key, []] as const);
  for (const [key, value] of [...tables, ...values]) {
    const path = key.split(".");
    const name = path.pop() ?? key;
    let table = config as Record<string, unknown>;
    for (const outer of path) table = (table[outer] ??= {}) as Record<string, unknown>;
    table[name] = value;
  }
  Value.Assert(configSchema, config);
  const { state } = config;
  if (state.path === "") state.path = defaultStateDirectory(system, environment);
  else if (state.path !== ":memory:") state.path = resolve(workingDirectory, state.path);
  return config;
}

/** `$XDG_STATE_HOME` is used only if it is absolute, as the XDG Base Directory specification requires. */
function defaultStateDirectory(
  { platform, homeDirectory, uid }: System,
  environment: ConfigSources["environment"],
): string {
  const name = "tailscale2otel";
  const { XDG_STATE_HOME: xdgStateHome = "", LOCALAPPDATA: localAppData = homeDirectory } = environment;
  if (platform === "win32") return join(localAppData, name);
  if (platform === "darwin") return join(homeDirectory, "Library", "Application Support", name);
  if (isAbsolute(xdgStateHome)) return join(xdgStateHome, name);
  if (platform === "linux" && uid === 0) return join("/var/lib", name);
  return join(homeDirectory, ".local", "state", name);
}
