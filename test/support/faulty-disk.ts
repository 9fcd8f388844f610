/**
 * Simulates a slow or failing disk for one program by tracing it; where tracing is not possible, tests that need it are
 * skipped.
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildGoFile } from "./go-build.ts";

export interface FaultyDisk {
  /** The command prefix to run a program with this disk. */
  readonly prefix: readonly string[];
  /** From now on, every write and sync of the database fails with an I/O error. */
  fail(): void;
  heal(): void;
  /** From now on, every sync of the database blocks. */
  hold(): void;
  /** True while a sync is blocked. */
  isHolding(): boolean;
  release(): void;
}

const source = join(import.meta.dirname, "faulty-disk/main.go");

/** A traced program can hang where tracing is only partly allowed. */
const probeMs = 30_000;

/** Why tracing is not possible here, if so; printed once. */
const obstacle = ((): string | undefined => {
  if (process.platform !== "linux" || process.arch !== "x64") return "it is written for Linux on x64";
  try {
    const probe = { encoding: "utf8", timeout: probeMs } as const;
    const { status, stderr } = spawnSync(buildGoFile("faulty-disk", source), ["/bin/true"], probe);
    return status === 0 ? undefined : stderr.trim() || "a program that is traced does not end";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
})();

if (obstacle !== undefined) process.stdout.write(`skip  tests with a faulty disk: ${obstacle}\n`);

export const canHaveFaultyDisk = obstacle === undefined;

/** `directory`: holds the files that switch failing and blocking on. */
export function createFaultyDisk(directory: string): FaultyDisk {
  const failWhile = join(directory, "disk-fails");
  const holdWhile = join(directory, "disk-holds");
  const flags = ["-hold-while", holdWhile, "-fail-while", failWhile, "-files", "journal.db,journal.db-wal"];
  return {
    prefix: [buildGoFile("faulty-disk", source), ...flags],
    fail: () => writeFileSync(failWhile, ""),
    heal: () => rmSync(failWhile),
    hold() {
      rmSync(`${holdWhile}.holding`, { force: true });
      writeFileSync(holdWhile, "");
    },
    isHolding: () => existsSync(`${holdWhile}.holding`),
    release: () => rmSync(holdWhile),
  };
}
