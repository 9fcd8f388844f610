/** The one loader: from everything that can carry settings to one configuration, or to everything that is wrong with it. */
import type { Stats } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { ConfigError } from "../errors.ts";
import { describeProblem, inReadingOrder, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { readBounded, whyForeign, whyUntrusted } from "./files.ts";
import {
  configVariable,
  type Environment,
  type Layer,
  readEnvironment,
  readFlags,
  readOtelEnvironment,
} from "./layers.ts";
import { mergeLayers, type Merged } from "./merge.ts";
import { judge } from "./judge.ts";
import { type Config, configSchema, settings } from "./schema.ts";
import { readToml } from "./toml.ts";

/** Everything that a configuration is made of. Nothing else is read. */
export interface ConfigSources {
  /** The value of `--config`. */
  readonly configPath?: string;
  readonly environment: Environment;
  /** The values of `--set`: `key=value`. */
  readonly assignments: readonly string[];
  readonly workingDirectory: string;
  readonly system: System;
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
  readonly warnings: readonly Warning[];
  /** Where each value comes from, by key; for the entries of a map by key and entry (`otlp.headers.x-scope`). */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The file that was read, as it was named. */
  readonly configFile: string | undefined;
}

/** A configuration with its problems; a setting that has one has its default, and its key is in `broken`. */
export interface Inspection extends Loaded {
  readonly problems: readonly Problem[];
  readonly broken: ReadonlySet<string>;
  /** Whether there is a configuration file and it could not be read: nothing is known about the settings in it. */
  readonly isUnread: boolean;
}

/**
 * Defaults, then the file, then variables, then flags. Reads the configuration file and the files of secrets.
 * @throws {ConfigError} with every problem at once.
 */
export function loadConfig(sources: ConfigSources): Loaded {
  const inspection = inspectConfig(sources);
  if (inspection.problems.length > 0) throw new ConfigError(inspection.problems.map(describeProblem));
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
      (inspection.isUnread && origin.from === "file") || origin.from === "flag" || isNeeded(meant),
  );
  if (fatal.length > 0) throw new ConfigError(fatal.map(describeProblem));
  return inspection;
}

/** The same without throwing. */
export function inspectConfig(sources: ConfigSources): Inspection {
  const file = openConfigFile(sources);
  const fileLayer = file === undefined ? undefined : layerOf(file);
  const own = [readEnvironment(sources.environment), readFlags(sources.assignments)];
  const layers = fileLayer === undefined ? own : [fileLayer, ...own];
  const configDirectory = dirname(resolve(sources.workingDirectory, file?.path ?? ""));
  const merged = mergeLayers(layers, readOtelEnvironment(sources.environment), (path, { from }) =>
    resolve(from === "file" ? configDirectory : sources.workingDirectory, path),
  );
  const config = configOf(merged, sources);
  const isUnread = fileLayer?.isToml === false;
  const judged = isUnread
    ? { problems: [], warnings: [] }
    : judge(
        { config, ...merged, ...(file?.stats && { file: { path: file.path, mode: file.stats.mode } }) },
        merged.problems,
      );
  return {
    config,
    problems: inReadingOrder([...merged.problems, ...judged.problems]),
    warnings: [...merged.warnings, ...judged.warnings],
    origins: merged.origins,
    broken: merged.broken,
    configFile: file?.path,
    isUnread,
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
  /** Why it is not read, or why reading failed. */
  readonly message?: string;
  readonly reason?: string;
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
    return { path, message: `cannot be read: it is not trusted, because ${reason}`, remedy };
  }
  return undefined;
}

function layerOf({
  path,
  text,
  reason,
  message = `cannot be read: ${reason}`,
  remedy,
}: ConfigFile): Layer & { readonly isToml: boolean } {
  if (text !== undefined) return readToml(path, text);
  const origin: Origin = { from: "file", file: path, line: 0 };
  const help = remedy ?? `Name a readable TOML file with --config or ${configVariable}.`;
  const problem = { origin, key: path, message, remedy: help };
  return { given: [], problems: [problem], warnings: [], isToml: false };
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
