/** The version, commit and date of a build, all derived from the source, so that builds are reproducible. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const rootDir = resolve(import.meta.dirname, "../..");

export interface Stamp {
  readonly version: string;
  /** Abbreviated, with `-dirty` if files differ from it; `unknown` without git. */
  readonly commit: string;
  /** The commit's date, RFC 3339 in UTC; `unknown` without git. The time of the build would make every build differ. */
  readonly buildDate: string;
}

export function readStamp(): Stamp {
  const { version } = JSON.parse(readFileSync(join(rootDir, "package.json"), "utf8")) as { version: string };
  return {
    version,
    commit: git(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]),
    buildDate: git(["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]),
  };
}

/** The globals that `src/version.ts` reads, as compiler flags. */
export function defineFlags({ version, commit, buildDate }: Stamp): string[] {
  const globals = { TS2OTEL_VERSION: version, TS2OTEL_COMMIT: commit, TS2OTEL_BUILD_DATE: buildDate };
  return Object.entries(globals).flatMap(([name, value]) => ["--define", `${name}=${JSON.stringify(value)}`]);
}

function git(args: readonly string[]): string {
  try {
    const answer = execFileSync("git", args, {
      cwd: rootDir,
      encoding: "utf8",
      env: { ...process.env, TZ: "UTC" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return answer.trim() || "unknown";
  } catch {
    return "unknown";
  }
}
