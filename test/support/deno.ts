/** Deno, as the package registry brings it. */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const packages = resolve(import.meta.dirname, "../../node_modules/@deno");

/**
 * The command that runs a bundle under Deno with the permissions that the program needs, and no others. It is the executable itself:
 * the package's own launcher is a second process, which a signal to the first would not reach.
 * @throws {Error} when Deno is not installed.
 */
export function denoCommand(bundle: string): readonly string[] {
  const executable = readdirSync(packages)
    .map((name) => join(packages, name, "deno"))
    .find((path) => existsSync(path));
  if (executable === undefined) throw new Error("the package of Deno has no executable for this machine");
  const permissions = ["net", "env", "read", "write", "sys"].map((name) => `--allow-${name}`);
  return [executable, "run", "--no-prompt", "--quiet", ...permissions, bundle];
}
