/** Converts a configuration of the Go program, and inspects the result as `check` does. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeFinding, inspectConfig } from "../../src/config/index.ts";
import { type Migration, migrate } from "../../src/migration/index.ts";

interface Given {
  readonly yaml?: string;
  readonly variables?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly tailnet?: string;
}

export interface Migrated extends Migration {
  /** Lines of the TOML, without comments and empty lines. */
  readonly lines: readonly string[];
  /** The problems that `check` reports. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** The remarks of a kind, each with its subject. */
  about(kind: Migration["remarks"][number]["kind"]): readonly string[];
}

export function migrateIn(directory: string, { yaml, variables, environment = {}, tailnet }: Given): Migrated {
  const from: string[] = [];
  if (yaml !== undefined) {
    write(directory, "go.yaml", yaml);
    from.push("go.yaml");
  }
  if (variables !== undefined) {
    write(directory, "go.env", variables);
    from.push("go.env");
  }
  if (from.length === 0) from.push("env");
  const migration = migrate({
    from,
    tailnet,
    environment,
    workingDirectory: directory,
    createToken: () => "a-new-token",
  });
  write(directory, "converted.toml", migration.toml);
  const { problems, warnings } = inspectConfig({
    configPath: "converted.toml",
    environment: {},
    assignments: [],
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: "/home/ann", uid: 1000 },
  });
  return {
    ...migration,
    lines: migration.toml.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
    problems: problems.map(describeFinding),
    warnings: warnings.map(describeFinding),
    about: (kind) =>
      migration.remarks.filter((remark) => remark.kind === kind).map(({ about, text }) => `${about}: ${text}`),
  };
}

/** Writes a file and returns its path. */
export function write(directory: string, name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
