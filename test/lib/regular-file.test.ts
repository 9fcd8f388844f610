import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { readRegularFile } from "../../src/lib/regular-file.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();

/** A named pipe with a writer that never closes it. */
function openPipe(name: string, text: string) {
  const path = join(directory, name);
  spawnSync("mkfifo", [path]);
  const writer = openSync(path, constants.O_RDWR);
  if (text !== "") writeSync(writer, text);
  return { path, [Symbol.dispose]: () => closeSync(writer) };
}

test("a file up to the limit is read whole", () => {
  const path = join(directory, "file");
  writeFileSync(path, "12345");
  expect(readRegularFile(path, 5)).toMatchObject({ text: "12345" });
  expect(readRegularFile(path, 4)).toEqual({ reason: "it is larger than 4", code: "EFBIG" });
  expect(readRegularFile("/dev/null")).toMatchObject({ text: "" });
});

describe("is refused without reading:", () => {
  const refused = { reason: "it is not a regular file" };

  test("a pipe", () => {
    using pipe = openPipe("pipe", "text");
    expect(readRegularFile(pipe.path)).toMatchObject(refused);
  });

  test("a device", () => expect(readRegularFile("/dev/zero")).toMatchObject(refused));

  test("a directory", () => {
    mkdirSync(join(directory, "folder"));
    expect(readRegularFile(join(directory, "folder"))).toMatchObject({ reason: "it is a directory" });
  });

  test("a socket", async () => {
    const server = createServer();
    const path = join(directory, "socket");
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(readRegularFile(path)).toMatchObject(refused);
    server.close();
  });
});

describe("a pipe that may be read", () => {
  test("is limited in time", () => {
    using pipe = openPipe("slow", "text");
    expect(readRegularFile(pipe.path, 100, 1)).toMatchObject({ reason: "the writer of the pipe takes too long" });
  });

  test("is limited in size", () => {
    using pipe = openPipe("large", "text");
    expect(readRegularFile(pipe.path, 3, 60_000)).toMatchObject({ reason: "it is larger than 3" });
  });

  test("must have a writer", () => {
    const { path, [Symbol.dispose]: close } = openPipe("empty", "");
    close();
    expect(readRegularFile(path, 100, 60_000)).toMatchObject({ reason: "the pipe is empty" });
  });
});
