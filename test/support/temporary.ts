/** Directories that go with the tests that use them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "bun:test";

/** A directory that is removed when the tests of the file are through. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
