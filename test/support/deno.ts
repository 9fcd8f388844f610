/** Deno, as installed from the package registry. */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const packages = resolve(import.meta.dirname, "../../node_modules/@deno");

/**
 * The command that runs a bundle under Deno with exactly the permissions the program needs. It is the executable itself: the
 * package's launcher would be a second process that does not forward signals.
 * @throws {Error} if Deno is not installed.
 */
export function denoCommand(bundle: string): readonly string[] {
  const executable = readdirSync(packages)
    .map((name) => join(packages, name, "deno"))
    .find((path) => existsSync(path));
  if (executable === undefined) throw new Error("the package of Deno has no executable for this machine");
  const permissions = ["net", "env", "read", "write", "sys"].map((name) => `--allow-${name}`);
  return [executable, "run", "--no-prompt", "--quiet", ...permissions, bundle];
}
