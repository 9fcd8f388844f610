/** The state directory: private, locked, and never written through somebody's links. */
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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Unavailable } from "../../src/errors.ts";
import { Ballast } from "../../src/journal/state-directory.ts";
import { inspectJournal } from "../../src/journal/inspection.ts";
import { takeStateDirectory } from "../../src/journal/state-directory.ts";
import { canMount, mountSmallDisk } from "../support/small-disk.ts";
import { appendNumbers, createState, mebibyte, numbersIn, type TestState } from "./support.ts";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

describe("the state directory", () => {
  test("is made for its owner alone, and so are its files", () => {
    state.open({ ballastBytes: mebibyte });
    expect(statSync(state.path).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(state.path))
      expect([name, statSync(join(state.path, name)).mode & 0o077]).toEqual([name, 0]);
  });

  test("keeps its mode if it was there", () => {
    mkdirSync(state.path, { mode: 0o750 });
    chmodSync(state.path, 0o750);
    state.open();
    expect(statSync(state.path).mode & 0o777).toBe(0o750);
  });

  test("is refused if everybody may write to it", () => {
    mkdirSync(state.path);
    chmodSync(state.path, 0o1777);
    expect(() => state.open()).toThrow("everybody may write");
    expect(readdirSync(state.path)).toEqual([]);
    expect(inspectJournal(state.path)).toMatchObject({ kind: "unusable" });
  });

  test.skipIf(process.getuid?.() !== 0)("is refused if it belongs to another user", () => {
    mkdirSync(state.path, { mode: 0o700 });
    chownSync(state.path, 12_345, 12_345);
    expect(() => state.open()).toThrow("belongs to another user (uid 12345");
    expect(readdirSync(state.path)).toEqual([]);
  });

  test("is refused to a second journal as long as the first holds it", () => {
    const first = state.open();
    expect(() => state.open()).toThrow("another process uses the state directory");
    expect(inspectJournal(state.path)).toEqual({ kind: "in_use" });
    first.close();
    state.open();
  });

  test("is refused if it is a file", () => {
    writeFileSync(state.path, "");
    expect(() => state.open()).toThrow(Unavailable);
    expect(() => state.open()).toThrow("it is a file, not a directory");
    expect(inspectJournal(state.path)).toMatchObject({ kind: "unusable" });
    const path = join(state.path, "below");
    expect(() => state.open({ path })).toThrow("a part of the path is not a directory");
  });

  test.skipIf(process.getuid?.() === 0)("is refused with the remedy if this user may not write there", () => {
    mkdirSync(state.path, { mode: 0o500 });
    expect(() => state.open()).toThrow(`${state.path}: this user may not write there: chmod u+w it`);
  });

  test("in memory goes with the process, and with the next start if that was killed", () => {
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

describe("the ballast", () => {
  test("is written exclusively, and never through a link", () => {
    mkdirSync(state.path);
    const target = join(state.path, "target");
    writeFileSync(target, "precious");
    const path = join(state.path, "ballast");
    symlinkSync(target, path);
    const ballast = new Ballast(path, mebibyte);
    ballast.take();
    expect(ballast.isHeld).toBe(true);
    expect(readFileSync(target, "utf8")).toBe("precious");
    expect([lstatSync(path).isFile(), statSync(path).size]).toEqual([true, mebibyte]);
  });

  test("stays over a restart", () => {
    mkdirSync(state.path);
    const path = join(state.path, "ballast");
    new Ballast(path, mebibyte).take();
    const { ino } = statSync(path);
    const again = new Ballast(path, mebibyte);
    again.take();
    expect([again.isHeld, statSync(path).ino]).toEqual([true, ino]);
  });
});

describe("an inspection", () => {
  test("tells what a start would find, and changes nothing", async () => {
    expect(inspectJournal(":memory:")).toEqual({ kind: "memory" });
    expect(inspectJournal(state.path)).toEqual({ kind: "new" });
    expect(existsSync(state.path)).toBe(false);
    const journal = state.open();
    await appendNumbers(journal, [1]);
    journal.close();
    expect(inspectJournal(state.path)).toMatchObject({ kind: "ready" });
    writeFileSync(join(state.path, "journal.db-damaged"), "");
    expect(inspectJournal(state.path)).toMatchObject({ kind: "damaged" });
  });
});

describe.skipIf(!canMount)("a disk", () => {
  test("that is too small for a new journal is an error at start, with the bytes that are free and needed", () => {
    const disk = mountSmallDisk(8);
    try {
      const path = join(disk.path, "state");
      expect(() => state.open({ path, ballastBytes: 16 * mebibyte })).toThrow(
        /too small: \d+ bytes are free, \d+ are needed/,
      );
    } finally {
      disk.remove();
    }
  });

  test("that fills up refuses appends with a reason, lets what is there be delivered, and recovers without a restart", async () => {
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
      expect(numbersIn(journal)).toEqual(Array.from({ length: n }, (_, one) => one));
      disk.free();
      journal.maintain();
      expect(journal.space.refusal).toBeUndefined();
      await appendNumbers(journal, [n]);
      expect(numbersIn(journal)).toHaveLength(n + 1);
    } finally {
      journal.close();
      disk.remove();
    }
  });
});
