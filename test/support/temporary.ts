/** Temporary directories that are removed with the tests that use them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "bun:test";

/** A directory that is removed after the tests of the file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
