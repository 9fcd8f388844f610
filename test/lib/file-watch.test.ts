import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { createFileWatch, type FileWatch } from "../../src/lib/file-watch.ts";

const directory = mkdtempSync(join(tmpdir(), "file-watch-"));
const file = join(directory, "secret");
const everyMs = 10;
let watch: FileWatch | undefined;

afterEach(() => watch?.stop());
afterAll(() => rmSync(directory, { recursive: true }));

/** Starts watching; `next` resolves at the next change. */
async function changesOf(path: string): Promise<{ count: number; next(): Promise<void> }> {
  const waiting: (() => void)[] = [];
  const changes = { count: 0, next: () => new Promise<void>((resolve) => waiting.push(resolve)) };
  watch = createFileWatch(everyMs, () => {
    changes.count++;
    for (const resolve of waiting.splice(0)) resolve();
  });
  await watch.watch([path]);
  return changes;
}

describe("a change is reported once,", () => {
  const ways: readonly [string, () => void][] = [
    ["of a file that is written", () => writeFileSync(file, "another text")],
    [
      "of a file that is replaced by another",
      () => {
        writeFileSync(`${file}.new`, "text");
        renameSync(`${file}.new`, file);
      },
    ],
    ["of a file that is gone", () => rmSync(file)],
  ];

  test.each(ways)("%s", async (_, change) => {
    writeFileSync(file, "text");
    const changes = await changesOf(file);
    const reported = changes.next();
    change();
    await reported;
    await wait(everyMs * 10);
    expect(changes.count).toBe(1);
  });

  test("of a link with a new target, as mounted secrets are replaced", async () => {
    const link = join(directory, "link");
    writeFileSync(join(directory, "one"), "text");
    writeFileSync(join(directory, "two"), "text");
    symlinkSync("one", link);
    const changes = await changesOf(link);
    const reported = changes.next();
    symlinkSync("two", `${link}.new`);
    renameSync(`${link}.new`, link);
    await reported;
    expect(changes.count).toBe(1);
  });
});

test("a file that is being written is reported once it no longer changes", async () => {
  writeFileSync(file, "");
  const changes = await changesOf(file);
  const reported = changes.next();
  // In every turn of the event loop, so that no two checks see the same, however long a turn takes.
  for (let turn = 0, endsAt = performance.now() + everyMs * 10; turn < 100 || performance.now() < endsAt; turn++) {
    appendFileSync(file, "text");
    await nextTurn();
    expect(changes.count).toBe(0);
  }
  await reported;
  expect(changes.count).toBe(1);
});

test("files that do not change or cannot be read twice are not reported", async () => {
  const pipe = join(directory, "pipe");
  writeFileSync(file, "text");
  spawnSync("mkfifo", [pipe]);
  for (const path of [file, pipe, join(directory, "none")]) {
    const changes = await changesOf(path);
    if (path === pipe) utimesSync(pipe, 1, 1);
    await wait(everyMs * 10);
    expect(changes.count).toBe(0);
    watch?.stop();
  }
});
