/** Where the build reads and writes. */
import { join, resolve } from "node:path";

export const rootDir = resolve(import.meta.dirname, "../..");
export const entryFile = join(rootDir, "src/main.ts");
export const distDir = join(rootDir, "dist");
export const releaseDir = join(distDir, "release");
/** On the same file system as `dist/`, so that a finished file is moved there in one step; one for each build that runs. */
export const stagingDir = join(rootDir, ".cache/build", String(process.pid));
