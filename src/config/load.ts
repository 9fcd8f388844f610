/** From everything that can carry settings to one configuration, or to everything that is wrong with it. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { ConfigError } from "../errors.ts";
import { type FileMode, findCautions } from "./caution.ts";
import { describeProblem, inReadingOrder, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { idleSettings } from "./idle.ts";
import { type Environment, readEnvironmentLayer } from "./layer-environment.ts";
import { readFileLayer } from "./layer-file.ts";
import { readFlagLayer } from "./layer-flags.ts";
import { readOtelLayer } from "./layer-otel.ts";
import { emptyLayer, type Layer } from "./layer.ts";
import { configVariable, createNames } from "./names.ts";
import { resolve, type Resolved } from "./resolve.ts";
import { findContradictions, findNothingToDo } from "./rules.ts";
import { type Config, configSchema } from "./schema.ts";
import { defaultStateDirectory, type System } from "./state-directory.ts";
import { systemReason } from "./system-reason.ts";
import { sectionsOf, settingsOf } from "./walk.ts";

/** Everything that a configuration is made of. Nothing else is looked at. */
export interface ConfigSources {
  /** The value of `--config`. */
  readonly configPath?: string;
  readonly environment: Environment;
  /** The values of `--set`: `key=value`. */
  readonly assignments: readonly string[];
  readonly workingDirectory: string;
  readonly system: System;
}

export interface Loaded {
  readonly config: Config;
  readonly warnings: readonly Warning[];
  /** Where each value comes from, by key; a map's entries by key and entry (`otlp.headers.x-scope`). */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The file that was read, as it was named. */
  readonly configFile: string | undefined;
}

/** A configuration with what is wrong in it; where something is, the default stands in its place. */
export interface Inspection extends Loaded {
  readonly problems: readonly Problem[];
  /** Those of the file that was named, if it could not be read, and of flags: the person has just typed them. */
  readonly typed: readonly Problem[];
}

/**
 * Defaults, then the file, then variables, then flags. Reads the configuration file and the files of secrets.
 * @throws {ConfigError} with every problem at once.
 */
export function loadConfig(sources: ConfigSources): Loaded {
  const { problems, typed: _, ...loaded } = inspectConfig(sources);
  if (problems.length > 0) throw new ConfigError(problems.map(describeProblem));
  return loaded;
}

/**
 * For commands that need a few settings: mistakes in the others are for `check` to report.
 * @throws {ConfigError} if the file that was named cannot be read, or a flag is wrong.
 */
export function inspectTyped(sources: ConfigSources): Inspection {
  const inspection = inspectConfig(sources);
  if (inspection.typed.length > 0) throw new ConfigError(inspection.typed.map(describeProblem));
  return inspection;
}

/** The same without throwing, for `check`. */
export function inspectConfig(sources: ConfigSources): Inspection {
  const sections = sectionsOf(configSchema);
  const settings = sections.flatMap((section) => section.settings);
  const names = createNames(sections);
  const path = findConfigFile(sources);
  const file = path === undefined ? undefined : readConfigFile(path, sources);
  const fileLayer =
    file === undefined ? emptyLayer() : fileLayerOf(file, (toml) => readFileLayer(names, file.path, toml));
  const layers = [
    fileLayer,
    readEnvironmentLayer(names, sources.environment),
    readFlagLayer(names, sources.assignments),
  ];
  const resolved = resolve(settings, layers, readOtelLayer(names, sources.environment));
  const config = configOf(resolved, sources);
  const view = { config, settings, ...resolved };
  const problems = [...resolved.problems, ...(fileLayer.isUnread ? [] : findContradictions(view))];
  const nothingToDo = problems.length === 0 ? findNothingToDo(view) : undefined;
  // A value with a mistake has its default here, and a warning about that would mislead.
  const cautions =
    problems.length > 0 ? [] : nothingToDo === undefined ? findCautions(view, file?.mode) : idleSettings(view);
  if (nothingToDo !== undefined) problems.push(nothingToDo);
  return {
    config,
    problems: inReadingOrder(problems),
    typed: [
      ...(fileLayer.isUnread && isNamed(sources) ? fileLayer.problems : []),
      ...resolved.problems.filter(({ origin }) => origin.from === "flag"),
    ],
    warnings: [...resolved.warnings, ...cautions],
    origins: resolved.origins,
    configFile: file?.path,
  };
}

/** The same for a configuration that was put together from a running one and this inspected one. */
export function inspectMerged(config: Config, next: Inspection): Inspection {
  const view = { config, settings: settingsOf(configSchema), origins: next.origins, broken: new Set<string>() };
  const nothingToDo = findNothingToDo(view);
  const problems = [...findContradictions(view), ...(nothingToDo === undefined ? [] : [nothingToDo])];
  return { ...next, config, problems, warnings: problems.length > 0 ? [] : findCautions(view, undefined) };
}

/** The file that would be read, or `undefined`: what is named, else the first of the usual places that exists. */
export function findConfigFile(sources: ConfigSources): string | undefined {
  const named = sources.configPath ?? sources.environment[configVariable];
  if (named !== undefined && named !== "") return named;
  return usualFiles.find((path) => {
    const file = openFile(resolvePath(sources.workingDirectory, path));
    if (typeof file !== "number") return file !== "ENOENT" && file !== "ENOTDIR";
    closeSync(file);
    return true;
  });
}

function isNamed({ configPath, environment }: ConfigSources): boolean {
  return (configPath ?? environment[configVariable] ?? "") !== "";
}

const usualFiles = ["tailscale2otel.toml", "/etc/tailscale2otel/config.toml"];

const maxFileBytes = 1024 * 1024;

interface ConfigFile {
  readonly path: string;
  readonly toml?: string;
  readonly complaint?: string;
  readonly mode?: FileMode;
}

function openFile(path: string): number | string {
  try {
    return openSync(path, "r");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

function readConfigFile(path: string, sources: ConfigSources): ConfigFile {
  try {
    const file = openSync(resolvePath(sources.workingDirectory, path), "r");
    try {
      const buffer = Buffer.alloc(maxFileBytes + 1);
      let length = 0;
      for (let read = -1; read !== 0 && length <= maxFileBytes; length += read) {
        read = readSync(file, buffer, length, buffer.length - length, null);
      }
      if (length > maxFileBytes) return { path, complaint: "it is larger than 1 MiB" };
      return { path, toml: buffer.toString("utf8", 0, length), mode: { path, mode: fstatSync(file).mode } };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { path, complaint: systemReason(error) };
  }
}

function fileLayerOf(file: ConfigFile, read: (toml: string) => Layer): Layer {
  if (file.toml !== undefined) return read(file.toml);
  const origin = { from: "file", file: file.path, line: 0 } as const;
  const message = file.complaint ?? "it is unreadable";
  const remedy = `Give the path of a TOML file with --config or ${configVariable}.`;
  return { ...emptyLayer(), isUnread: true, problems: [{ origin, key: file.path, message, remedy }] };
}

function configOf(resolved: Resolved, { environment, system, workingDirectory }: ConfigSources): Config {
  const written = String(resolved.values.get("state.path") ?? "");
  const path =
    written === ""
      ? defaultStateDirectory(system, environment["XDG_STATE_HOME"])
      : written === ":memory:"
        ? written
        : resolvePath(workingDirectory, written);
  return assemble(new Map(resolved.values).set("state.path", path));
}

/** Puts values by key into tables, and makes sure that the outcome is what its type says. */
function assemble(values: ReadonlyMap<string, unknown>): Config {
  const config: unknown = {};
  for (const { key, path } of settingsOf(configSchema)) {
    let table = config as Record<string, unknown>;
    for (const name of path.slice(0, -1)) table = (table[name] ??= {}) as Record<string, unknown>;
    table[path.at(-1) ?? key] = values.get(key);
  }
  Value.Assert(configSchema, config);
  return config;
}
