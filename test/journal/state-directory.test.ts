/** Tests the state directory: private, locked, and never written through foreign links. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Unavailable } from "../../src/errors.ts";
import { Ballast } from "../../src/journal/sqlite/health.ts";
import { inspectJournal } from "../../src/journal/index.ts";
import { stateDirectoryProblem, takeStateDirectory } from "../../src/journal/sqlite/directory.ts";
import { canMount, mountSmallDisk } from "../support/small-disk.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import { appendNumbers, mebibyte, numbersIn } from "./support.ts";

let state: SqliteState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

describe("the state directory", () => {
  test("is created for its owner alone, and so are its files", async () => {
    state.open({ ballastBytes: mebibyte });
    expect(statSync(state.path).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(state.path))
      expect([name, statSync(join(state.path, name)).mode & 0o077]).toEqual([name, 0]);
  });

  test("keeps its mode if it exists", async () => {
    mkdirSync(state.path, { mode: 0o750 });
    chmodSync(state.path, 0o750);
    state.open();
    expect(statSync(state.path).mode & 0o777).toBe(0o750);
  });

  test("is refused if everybody may write to it", async () => {
    mkdirSync(state.path);
    chmodSync(state.path, 0o1777);
    expect(() => state.open()).toThrow("is writable by everyone");
    expect(readdirSync(state.path)).toEqual([]);
    expect(inspectJournal(state.path)).toMatchObject({ kind: "unusable" });
  });

  test("is refused with the command that makes it private, unless it is meant to be writable by everybody", async () => {
    mkdirSync(state.path);
    chmodSync(state.path, 0o777);
    expect(() => state.open()).toThrow(`is writable by everyone. Run: chmod o-w ${state.path}`);
    chmodSync(state.path, 0o1777);
    expect(() => state.open()).toThrow("Set state.path to a new directory inside it");
    chmodSync(state.path, 0o775);
    state.open();
  });

  test.skipIf(process.getuid?.() !== 0)("is refused if it belongs to another user", () => {
    mkdirSync(state.path, { mode: 0o700 });
    chownSync(state.path, 12_345, 12_345);
    expect(() => state.open()).toThrow("belongs to another user (uid 12345");
    expect(readdirSync(state.path)).toEqual([]);
  });

  test("is refused to a second journal as long as the first holds it", async () => {
    const first = state.open();
    expect(() => state.open()).toThrow("another process uses the state directory");
    expect(inspectJournal(state.path)).toEqual({ kind: "in_use" });
    first.close();
    state.open();
  });

  test("is refused if it is a file", async () => {
    writeFileSync(state.path, "");
    expect(() => state.open()).toThrow(Unavailable);
    expect(() => state.open()).toThrow(`${state.path} is not a directory`);
    expect(inspectJournal(state.path)).toMatchObject({ kind: "unusable" });
    const path = join(state.path, "below");
    expect(() => state.open({ path })).toThrow(`${state.path} is not a directory`);
  });

  test.skipIf(process.platform !== "linux")("is refused with the remedy if the system does not create it", () => {
    const path = "/proc/tailscale2otel/state";
    expect(() => state.open({ path })).toThrow(
      /^cannot (create|use) the state directory.* \/proc\/tailscale2otel\/state.*reate it for this user, or set another state\.path$/,
    );
  });

  test.skipIf(process.getuid?.() === 0)("is refused with the remedy if this user may not write there", () => {
    mkdirSync(state.path, { mode: 0o500 });
    expect(() => state.open()).toThrow(`this user may not write to ${state.path}: chmod u+rwx it`);
  });

  test("in memory is removed when the process ends, or at the next start if it was killed", async () => {
    const abandoned = mkdtempSync(join(tmpdir(), "tailscale2otel-memory-"));
    writeFileSync(join(abandoned, "lock.db"), "");
    const young = mkdtempSync(join(tmpdir(), "tailscale2otel-memory-"));
    const old = mkdtempSync(join(tmpdir(), "tailscale2otel-memory-"));
    utimesSync(old, new Date(0), new Date(0));
    const first = takeStateDirectory(":memory:");
    const second = takeStateDirectory(":memory:");
    expect([abandoned, young, old, first.path, second.path].map((path) => existsSync(path))).toEqual([
      false,
      true,
      false,
      true,
      true,
    ]);
    first.release();
    second.release();
    rmSync(young, { recursive: true });
    expect([first.path, second.path].map((path) => existsSync(path))).toEqual([false, false]);
  });
});

describe("a file of the state directory", () => {
  for (const name of ["lock.db", "journal.db", "journal.db-wal", "last-row", "rescued.db"]) {
    test(`that is a link, like ${name} here, is refused with its path, and the link's target is left as it is`, async () => {
      mkdirSync(state.path, { mode: 0o700 });
      const target = join(state.path, "..", "precious");
      writeFileSync(target, "", { mode: 0o644 });
      symlinkSync(target, join(state.path, name));
      expect(() => state.open()).toThrow(`${join(state.path, name)} is a link`);
      expect(inspectJournal(state.path)).toMatchObject({ kind: "unusable" });
      expect([readFileSync(target, "utf8"), statSync(target).mode & 0o777]).toEqual(["", 0o644]);
    });
  }

  test("is not created through a dangling link", async () => {
    mkdirSync(state.path, { mode: 0o700 });
    const target = join(state.path, "..", "elsewhere");
    symlinkSync(target, join(state.path, "lock.db"));
    expect(() => state.open()).toThrow("lock.db is a link");
    expect(existsSync(target)).toBe(false);
  });

  test("keeps its mode if it exists", async () => {
    state.open().close();
    chmodSync(join(state.path, "lock.db"), 0o640);
    state.open();
    expect(statSync(join(state.path, "lock.db")).mode & 0o777).toBe(0o640);
  });
});

describe("what check and run say about a directory", () => {
  test("is the same sentence, if it cannot be created", async () => {
    const file = join(state.path, "..", "file");
    writeFileSync(file, "");
    const path = join(file, "below", "state");
    const problem = { reason: `${file} is not a directory`, remedy: "Set state.path to a directory." };
    expect(stateDirectoryProblem(path)).toEqual(problem);
    expect(inspectJournal(path)).toEqual({ kind: "unusable", ...problem });
    expect(() => state.open({ path })).toThrow(`${problem.reason}. ${problem.remedy}`);
  });

  test("is nothing, if it can be created", async () => {
    expect(stateDirectoryProblem(join(state.path, "a", "b"))).toBeUndefined();
    expect(existsSync(state.path)).toBe(false);
  });
});

const compiler = ["cc", "gcc"].find((name) => spawnSync(name, ["--version"]).status === 0);

test.skipIf(process.platform !== "linux" || compiler === undefined)(
  "a file system without locks is distinguished from another process",
  () => {
    mkdirSync(state.path, { mode: 0o700 });
    const source = join(state.path, "..", "no-locks.c");
    const library = join(state.path, "..", "no-locks.so");
    writeFileSync(
      source,
      `#define _GNU_SOURCE
       #include <dlfcn.h>
       #include <errno.h>
       #include <fcntl.h>
       #include <stdarg.h>
       static int answer(const char *name, int file, int command, void *argument) {
         if (command == F_SETLK || command == F_OFD_SETLK) { errno = ENOLCK; return -1; }
         return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, name))(file, command, argument);
       }
       int fcntl(int file, int command, ...) {
         va_list all; va_start(all, command); void *argument = va_arg(all, void *); va_end(all);
         return answer("fcntl", file, command, argument);
       }
       int fcntl64(int file, int command, ...) {
         va_list all; va_start(all, command); void *argument = va_arg(all, void *); va_end(all);
         return answer("fcntl64", file, command, argument);
       }`,
    );
    const built = spawnSync(compiler as string, ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
    expect(built.stderr.toString()).toBe("");
    const entry = new URL("crash-entry.ts", import.meta.url).pathname;
    const { stderr } = spawnSync(process.execPath, [entry, state.path], {
      env: { ...process.env, LD_PRELOAD: library },
    });
    expect(stderr.toString()).toContain(`the file system of the state directory ${state.path} cannot lock files`);
    expect(readdirSync(state.path)).toEqual(["lock.db"]);
  },
);

describe("the ballast", () => {
  test("is written exclusively, and never through a link", async () => {
    mkdirSync(state.path);
    const target = join(state.path, "target");
    writeFileSync(target, "precious");
    const path = join(state.path, "ballast");
    symlinkSync(target, path);
    const ballast = new Ballast(state.path, mebibyte);
    ballast.reserve();
    expect(ballast.isHeld).toBe(true);
    expect(readFileSync(target, "utf8")).toBe("precious");
    expect([lstatSync(path).isFile(), statSync(path).size]).toEqual([true, mebibyte]);
  });

  test("is kept over a restart", async () => {
    mkdirSync(state.path);
    const path = join(state.path, "ballast");
    new Ballast(state.path, mebibyte).reserve();
    const { ino } = statSync(path);
    const again = new Ballast(state.path, mebibyte);
    again.reserve();
    expect([again.isHeld, statSync(path).ino]).toEqual([true, ino]);
  });
});

describe("an inspection", () => {
  test("reports what a start would find, and changes nothing", async () => {
    expect(inspectJournal(":memory:")).toEqual({ kind: "memory" });
    expect(inspectJournal(state.path)).toEqual({ kind: "new" });
    expect(existsSync(state.path)).toBe(false);
    const journal = state.open();
    await appendNumbers(journal, [1]);
    journal.close();
    expect(inspectJournal(state.path)).toMatchObject({ kind: "ready" });
    writeFileSync(join(state.path, "rescued.db"), "");
    expect(inspectJournal(state.path)).toMatchObject({ kind: "damaged" });
  });
});

describe.skipIf(!canMount)("a disk", () => {
  test("that is too small for a new journal is an error at start, with the free and the required space", async () => {
    const disk = mountSmallDisk(8);
    try {
      const path = join(disk.path, "state");
      expect(() => state.open({ path, ballastBytes: 16 * mebibyte })).toThrow(
        /too small: \d+MiB are free, \d+MiB are needed/,
      );
    } finally {
      disk.remove();
    }
  });

  test("that has become too small for an existing journal is logged as an error, and nothing is accepted", async () => {
    const disk = mountSmallDisk(32);
    const path = join(disk.path, "state");
    const filling = state.open({ path, ballastBytes: 0 });
    await appendNumbers(filling, [1]);
    filling.close();
    const journal = state.open({ path, ballastBytes: 64 * mebibyte });
    try {
      expect(state.log.join()).toMatch(/error .*too small: \d+MiB are free, \d+MiB are needed; nothing is accepted/);
      expect(appendNumbers(journal, [2])).rejects.toBeInstanceOf(Unavailable);
      expect(await numbersIn(journal)).toEqual([1]);
    } finally {
      journal.close();
      disk.remove();
    }
  });

  test("that fills up refuses appends with a reason, lets stored rows be delivered, and recovers without a restart", async () => {
    const disk = mountSmallDisk(16);
    const path = join(disk.path, "state");
    const journal = state.open({ path, ballastBytes: 4 * mebibyte });
    try {
      let n = 0;
      disk.fill();
      for (; n < 5000; n++) {
        try {
          await appendNumbers(journal, [n]);
        } catch (error) {
          expect(error).toBeInstanceOf(Unavailable);
          break;
        }
      }
      expect(n).toBeLessThan(5000);
      expect(journal.space.refusal).toContain("the disk of the state directory is full");
      expect(state.log.join()).toContain("the disk of the state directory is full");
      journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", new Uint8Array(10_000)]]) });
      expect(await numbersIn(journal)).toEqual(Array.from({ length: n }, (_, one) => one));
      disk.free();
      journal.maintain();
      expect(journal.space.refusal).toBeUndefined();
      await appendNumbers(journal, [n]);
      expect(await numbersIn(journal)).toHaveLength(n + 1);
    } finally {
      journal.close();
      disk.remove();
    }
  });

  test("that fills up without a ballast refuses appends until writes succeed again", async () => {
    const disk = mountSmallDisk(16);
    const journal = state.open({ path: join(disk.path, "state"), ballastBytes: 0 });
    try {
      disk.fill();
      let n = 0;
      while (
        await appendNumbers(journal, [n]).then(
          () => true,
          () => false,
        )
      )
        n++;
      expect(journal.space.refusal).toContain("database or disk is full");
      disk.free();
      journal.maintain();
      expect(journal.space.refusal).toBeUndefined();
      await appendNumbers(journal, [n]);
    } finally {
      journal.close();
      disk.remove();
    }
  });
});
