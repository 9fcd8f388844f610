/** The machines that there is a binary for. */
import { readdirSync } from "node:fs";

export interface Target {
  /** As in the names of files: `linux-x64`, `linux-arm64-musl`, `darwin-x64`. `install.sh` forms the same names. */
  readonly name: string;
  /** As the compiler names it. */
  readonly runtime: string;
}

export const allTargets: readonly Target[] = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
].map((name) => ({ name, runtime: `bun-${name}` }));

/** @throws {Error} when there is no binary for this machine. */
export function hostTarget(): Target {
  const name = `${process.platform}-${process.arch}${isMusl() ? "-musl" : ""}`;
  const target = allTargets.find((candidate) => candidate.name === name);
  if (target === undefined) {
    throw new Error(`there is no binary for ${name}, only for ${allTargets.map((known) => known.name).join(", ")}`);
  }
  return target;
}

function isMusl(): boolean {
  return process.platform === "linux" && readdirSync("/lib").some((name) => name.startsWith("ld-musl-"));
}
