/** A disk of a few mebibytes that a test can fill, for users who may mount. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  readonly path: string;
  /** Fills all remaining space, until `free`. */
  fill(): void;
  free(): void;
  remove(): void;
}

/** True if this process may mount. */
export const canMount = ((): boolean => {
  const path = mkdtempSync(join(tmpdir(), "small-disk-"));
  const isMounted = mount(path, 1);
  if (isMounted) spawnSync("umount", [path]);
  rmSync(path, { recursive: true });
  return isMounted;
})();

/** @throws {Error} if it cannot be mounted. */
export function mountSmallDisk(mebibytes: number): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), "small-disk-"));
  if (!mount(path, mebibytes)) throw new Error(`cannot mount a small disk at ${path}`);
  const filler = join(path, "filler");
  return {
    path,
    fill() {
      const { bavail, bsize } = statfsSync(path);
      try {
        if (bavail > 0) writeFileSync(filler, new Uint8Array(bavail * bsize), { flag: "a" });
      } catch (error) {
        /** Another process used the last of the space. */
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      }
    },
    free: () => rmSync(filler, { force: true }),
    remove() {
      spawnSync("umount", [path]);
      rmSync(path, { recursive: true });
    },
  };
}

function mount(path: string, mebibytes: number): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", path]).status === 0;
}
