import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPrivateFile, writePrivateFile } from "../../src/lib/private-file.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "private-file-"));
  path = join(directory, "state", "secret.json");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const mode = (of: string): string => (statSync(of).mode & 0o777).toString(8);

test("is readable by its owner alone, in a directory created for it", () => {
  writePrivateFile(path, "first");
  expect(readPrivateFile(path)).toBe("first");
  expect([mode(join(directory, "state")), mode(path)]).toEqual(["700", "600"]);
});

test("is replaced as a whole by another private file, without leaving anything beside it", () => {
  mkdirSync(join(directory, "state"));
  writeFileSync(path, "a text that is longer", { mode: 0o644 });
  writePrivateFile(path, "short");
  expect(readPrivateFile(path)).toBe("short");
  expect(mode(path)).toBe("600");
  expect(readdirSync(join(directory, "state"))).toEqual(["secret.json"]);
});

test("is unchanged if the disk has no room for the new one", () => {
  writePrivateFile(path, "kept");
  const module = join(import.meta.dir, "../../src/lib/private-file.ts");
  const program = `import { writePrivateFile } from ${JSON.stringify(module)}; writePrivateFile(${JSON.stringify(path)}, "x".repeat(5000));`;
  // A limit on the size of files acts like a full disk: a part is written, then an error occurs.
  const limited = `trap "" XFSZ; ulimit -f 1; exec "$0" -e "$1"`;
  const { status, stderr } = spawnSync("sh", ["-c", limited, process.execPath, program], { encoding: "utf8" });
  expect(stderr).toContain(`cannot write ${path}`);
  expect(status).toBe(1);
  expect(readPrivateFile(path)).toBe("kept");
  expect(readdirSync(join(directory, "state"))).toEqual(["secret.json"]);
});

test("is unchanged if it cannot be replaced", () => {
  writePrivateFile(path, "kept");
  rmSync(path);
  mkdirSync(path);
  expect(() => writePrivateFile(path, "new")).toThrow();
  expect(readdirSync(join(directory, "state"))).toEqual(["secret.json"]);
});

test("belongs to the owner of its directory, so that root can write it for a service", () => {
  if (process.getuid?.() !== 0) return expect(process.getuid?.()).not.toBe(0);
  mkdirSync(join(directory, "state"));

  chownSync(join(directory, "state"), 12_345, 12_346);
  writePrivateFile(path, "secret");
  expect(statSync(path)).toMatchObject({ uid: 12_345, gid: 12_346 });
});

test("is undefined if it does not exist, and an error if it cannot be read", () => {
  expect(readPrivateFile(path)).toBeUndefined();
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o700);
  expect(() => readPrivateFile(path)).toThrow();
});
