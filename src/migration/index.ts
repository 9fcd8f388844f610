/** Converts a configuration of the Go program of the same name, from YAML or variables, into TOML for this program. */
import { dirname, resolve } from "node:path";
import { readRegularFile } from "../lib/regular-file.ts";
import { convert, type Remark } from "./convert.ts";
import { fillPlaceholders, selectTailnet, takeFromChart } from "./prepare.ts";
import { type Environment, type GoGivens, parseVariables, readVariables, readYaml } from "./source.ts";
import { isTable } from "./table.ts";
import { writeToml } from "./toml.ts";

export interface MigrationSource {
  /**
   * Paths of YAML or variable files, `-` for standard input, and `env` for the environment; later ones override earlier ones.
   */
  readonly from: readonly string[];
  /** The tailnet to convert, if the file lists several. */
  readonly tailnet?: string | undefined;
  readonly environment: Environment;
  readonly workingDirectory: string;
  readonly createToken: () => string;
}

export interface Migration {
  readonly toml: string;
  readonly remarks: readonly Remark[];
  /** Number of settings that differ from their defaults. */
  readonly settings: number;
  /** Keys of the secrets that the TOML contains as plain text. */
  readonly secrets: readonly string[];
}

/** @throws {Error} with the place if a source cannot be read or is not a configuration of the Go program. */
export function migrate({ from, tailnet, environment, workingDirectory, createToken }: MigrationSource): Migration {
  const givens: GoGivens = new Map();
  let directory = workingDirectory;
  for (const name of from) {
    const path = resolve(workingDirectory, name);
    if (readSource(name, path, environment, givens) === "yaml") directory = dirname(path);
  }
  if (givens.size === 0)
    throw new Error(
      from.join() === "env"
        ? "the environment has no TS2OTEL_ variables"
        : `there are no settings of the Go program in ${from.join(", ")}`,
    );
  const chart = takeFromChart(givens);
  const filled = fillPlaceholders(givens, environment);
  selectTailnet(givens, tailnet);
  const converted = convert(givens, { directory, workingDirectory, createToken });
  const remarks = [...chart, ...filled, ...converted.remarks];
  return {
    toml: writeToml(
      { ...converted, remarks },
      from.map((name) => (name === "env" ? "the environment" : name)).join(", "),
    ),
    remarks,
    settings: converted.values.size,
    secrets: [...converted.values.keys()].filter((key) => /(?:token|secret|apikey|headers)$/.test(key)),
  };
}

/** Several times the size of the Go program's fully commented example. */
const maxSourceBytes = 512 * 1024;

/** Allows for a slow writer at the other end of a pipe, such as a program that decrypts the file. */
const pipeWaitMs = 10_000;

function readSource(name: string, path: string, environment: Environment, givens: GoGivens): "yaml" | "variables" {
  if (name === "env") {
    readVariables(environment, isTable, givens);
    return "variables";
  }
  const read = readRegularFile(name === "-" ? "/dev/stdin" : path, maxSourceBytes, pipeWaitMs);
  if ("reason" in read) throw new Error(`cannot read ${name}: ${read.reason}`);
  const variables = parseVariables(read.text, environment);
  if (variables !== undefined) {
    readVariables(variables, isTable, givens);
    return "variables";
  }
  if (/^\s*\[[\w.]+\]\s*$/m.test(read.text) && !/^[\w-]+:/m.test(read.text))
    throw new Error(
      `${name} is TOML, so it is not a configuration of the Go program. Check it with: tailscale2otel check --config ${name}`,
    );
  readYaml(read.text, name, isTable, givens);
  return "yaml";
}
