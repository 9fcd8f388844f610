/** The one loader: from everything that can carry settings to one configuration, or to everything that is wrong with it. */
import type { Stats } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { ConfigError } from "../errors.ts";
import { describeFinding, type Finding, inReadingOrder, type Origin } from "./diagnosis.ts";
import { readBounded, whyForeign, whyUntrusted } from "./files.ts";
import {
  configVariable,
  type Environment,
  type Layers,
  readEnvironment,
  readFlags,
  readOtelEnvironment,
} from "./layers.ts";
import { mergeLayers, type Merged } from "./merge.ts";
import { judge } from "./rules.ts";
import { type Config, configSchema, settings } from "./schema.ts";
import { readToml } from "./toml.ts";

export {
  describeFinding,
  describeOrigin,
  type EffectiveRow,
  effectiveRows,
  type Finding,
  type Origin,
} from "./diagnosis.ts";
export { whyUnusablePair } from "./files.ts";
export { defaultMaxBodyBytes, subscriptionsOf, subscriptionTypes, subscriptionWords } from "./schema-inputs.ts";
export {
  type CollectedLog,
  collectedLogs,
  type Config,
  hasCredentials,
  isPolled,
  readsDevices,
  usesOauth,
} from "./schema.ts";
export { displayUrl, redacted } from "./values.ts";

/** Everything that a configuration is made of. Nothing else is read. */
export interface ConfigSources {
  /** The value of `--config`. */
  readonly configPath?: string;
  readonly environment: Environment;
  /** The values of `--set`: `key=value`. */
  readonly assignments: readonly string[];
  readonly workingDirectory: string;
  readonly system: System;
  /** Why `run` could not use a state directory. Absent: it is not looked at. */
  readonly whyUnusableState?: (path: string) => Pick<Finding, "message" | "remedy"> | undefined;
}

/** What the default state directory depends on. */
export interface System {
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly platform: string;
  readonly homeDirectory: string;
  /** The user's number; absent on systems without any. */
  readonly uid?: number | undefined;
}

export interface Loaded {
  readonly config: Config;
  readonly warnings: readonly Finding[];
  /** Where each value comes from, by key; for the entries of a map by key and entry (`otlp.headers.x-scope`). */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The file that was read, as it was named. */
  readonly configFile: string | undefined;
}

/** A configuration with its problems; a setting that has one has its default, and its key is in `broken`. */
export interface Inspection extends Loaded {
  readonly problems: readonly Finding[];
  readonly broken: ReadonlySet<string>;
  /** Whether there is a configuration file and it could not be read: nothing is known about the settings in it. */
  readonly isUnread: boolean;
  /** The permission bits of the file. */
  readonly mode: number | undefined;
}

/**
 * Defaults, then the file, then variables, then flags. Reads the configuration file and the files of secrets.
 * @throws {ConfigError} with every problem at once.
 */
export function loadConfig(sources: ConfigSources): Loaded {
  const inspection = inspectConfig(sources);
  if (inspection.problems.length > 0) throw new ConfigError(inspection.problems.map(describeFinding));
  return inspection;
}

/**
 * For commands that need only these sections: other problems are for `check` to report.
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

/** The same without throwing. Warnings of the rules are left out if there are problems: broken settings have their default. */
export function inspectConfig(sources: ConfigSources): Inspection {
  const read = readConfig(sources);
  if (read.isUnread) return read;
  const { config, broken, origins } = read;
  const { problems, warnings } = judge(read);
  const key = "state.path";
  const state = broken.has(key) ? undefined : sources.whyUnusableState?.(config.state.path);
  const ofState: Finding[] =
    state === undefined ? [] : [{ severity: "error", origin: origins.get(key), key, ...state }];
  return {
    ...read,
    problems: inReadingOrder([...read.problems, ...problems, ...ofState]),
    warnings: [...read.warnings, ...warnings],
  };
}

/** Every value, each judged for itself. */
export function readConfig(sources: ConfigSources): Inspection {
  const { environment, workingDirectory } = sources;
  const layers: Layers = { given: [], findings: [] };
  const file = openConfigFile(sources);
  readOtelEnvironment(environment, layers);
  const isUnread = file !== undefined && !readFile(file, layers);
  readEnvironment(environment, layers);
  readFlags(sources.assignments, layers);
  const configDirectory = dirname(resolve(workingDirectory, file?.path ?? ""));
  const merged = mergeLayers(layers, (path, { from }) =>
    resolve(from === "file" ? configDirectory : workingDirectory, path),
  );
  const of = (severity: Finding["severity"]) => merged.findings.filter((finding) => finding.severity === severity);
  return {
    config: configOf(merged, sources),
    problems: inReadingOrder(of("error")),
    warnings: of("warning"),
    origins: merged.origins,
    broken: merged.broken,
    configFile: file?.path,
    isUnread,
    mode: file?.stats?.mode,
  };
}

/** The file that would be read: what is named, else the first of the usual places that exists. */
export function findConfigFile(sources: ConfigSources): string | undefined {
  return openConfigFile(sources)?.path;
}

const usualFiles = ["tailscale2otel.toml", "/etc/tailscale2otel/config.toml"];
const maxFileBytes = 1024 * 1024;

interface ConfigFile {
  readonly path: string;
  readonly text?: string;
  readonly stats?: Stats;
  /** Why there is no text: that reading failed, or what else is wrong. */
  readonly reason?: string;
  readonly message?: string;
  readonly remedy?: string;
}

/** A file that nobody named has to be trustworthy. If it is not, nothing is read in its place: it may have been meant. */
function openConfigFile({ configPath, environment, workingDirectory, system }: ConfigSources): ConfigFile | undefined {
  const read = (path: string) => readBounded(resolve(workingDirectory, path), maxFileBytes);
  const named = configPath ?? environment[configVariable];
  if (named === "") {
    const path = configPath === undefined ? configVariable : "--config";
    const remedy = `Name a file, or remove ${path}: then ${usualFiles.join(" or ")} is used.`;
    return { path, message: "the path of the configuration file is empty", remedy };
  }
  if (named !== undefined) return { path: named, ...read(named) };
  for (const path of usualFiles) {
    const untrusted = whyUntrusted(resolve(workingDirectory, path), system.uid);
    const file = untrusted === undefined ? read(path) : { reason: untrusted, code: "" };
    if ("code" in file && (file.code === "ENOENT" || file.code === "ENOTDIR")) continue;
    // It may have been replaced between the two looks.
    const replaced = "stats" in file && system.uid !== undefined ? whyForeign(file.stats, system.uid) : undefined;
    const reason = untrusted ?? replaced;
    if (reason === undefined) return { path, ...file };
    const remedy = `If it is yours, correct its owner and run chmod go-w ${path}; or name a file with --config or ${configVariable}.`;
    return { path, reason: `it is not trusted, because ${reason}`, remedy };
  }
  return undefined;
}

/** Returns whether it is TOML. */
function readFile(
  { path, text, reason, message = `cannot be read: ${reason}`, remedy }: ConfigFile,
  layers: Layers,
): boolean {
  if (text !== undefined) return readToml(path, text, layers);
  const origin: Origin = { from: "file", file: path, line: 0 };
  const help = remedy ?? `Name a readable TOML file with --config or ${configVariable}.`;
  layers.findings.push({ severity: "error", origin, key: path, message, remedy: help });
  return false;
}

/** Puts values by key into tables, and makes sure that the outcome is what its type says. */
function configOf({ values }: Merged, { environment, system, workingDirectory }: ConfigSources): Config {
  const config: unknown = {};
  for (const { key, path } of settings) {
    let table = config as Record<string, unknown>;
    for (const name of path.slice(0, -1)) table = (table[name] ??= {}) as Record<string, unknown>;
    table[path.at(-1) ?? key] = values.get(key);
  }
  Value.Assert(configSchema, config);
  const { state } = config;
  if (state.path === "") state.path = defaultStateDirectory(system, environment["XDG_STATE_HOME"]);
  else if (state.path !== ":memory:") state.path = resolve(workingDirectory, state.path);
  return config;
}

/** `$XDG_STATE_HOME` counts if it is absolute, as the XDG Base Directory specification demands. */
function defaultStateDirectory({ platform, homeDirectory, uid }: System, xdgStateHome = ""): string {
  const name = "tailscale2otel";
  if (platform === "darwin") return join(homeDirectory, "Library", "Application Support", name);
  if (isAbsolute(xdgStateHome)) return join(xdgStateHome, name);
  if (platform === "linux" && uid === 0) return join("/var/lib", name);
  return join(homeDirectory, ".local", "state", name);
}
