/** The copy of the directory: there at the next start, gone where it is damaged, and never in the way. */
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterEach, expect, test } from "bun:test";
import { writeMeta } from "../../src/journal/meta.ts";
import { pack } from "../../src/journal/pack.ts";
import type { Device } from "../../src/processors/directory.ts";
import { devices } from "../support/devices.ts";
import { appendOf, createState, partOfNumbers, storedNumbers, type TestState } from "../support/journal.ts";

let state: TestState | undefined;
afterEach(() => state?.remove());

function newState(): TestState {
  return (state = createState());
}

test("a journal that is new has no copy", () => {
  expect(newState().open().readDevices()).toBeUndefined();
});

test("the last copy is there at the next start", () => {
  const { open } = newState();
  const before = open();
  before.writeDevices(devices);
  before.writeDevices(devices.slice(1));
  before.close();
  const after = open();
  expect(after.readDevices()).toEqual(devices.slice(1));
  after.writeDevices([]);
  expect(after.readDevices()).toEqual([]);
});

test("a copy that is damaged is none, and the records are untouched", async () => {
  const { open, path } = newState();
  const before = open();
  before.writeDevices(devices);
  await before.append(appendOf([partOfNumbers([1, 2])]));
  before.close();
  const database = new DatabaseSync(join(path, "journal.db"));
  database.exec("UPDATE meta SET value = replace(value, substr(value, 40, 8), 'AAAAAAAA') WHERE name = 'devices'");
  database.close();
  const after = open();
  expect(after.readDevices()).toBeUndefined();
  expect(storedNumbers(after)).toEqual([1, 2]);
  after.writeDevices(devices);
  expect(after.readDevices()).toEqual(devices);
});

test("a copy of another version is none", () => {
  const { open, path } = newState();
  open().close();
  const database = new DatabaseSync(join(path, "journal.db"));
  writeMeta(database, "devices", Buffer.from(pack(JSON.stringify({ version: 2, devices }))).toString("base64"));
  database.close();
  expect(open().readDevices()).toBeUndefined();
});

test("it is saved from a damaged database", () => {
  const { open, path, warnings } = newState();
  const before = open();
  before.writeDevices(devices);
  before.close();
  const database = new DatabaseSync(join(path, "journal.db"));
  database.exec("PRAGMA user_version = 77");
  database.close();
  expect(open().readDevices()).toEqual(devices);
  expect(warnings).toEqual([]);
});

test("a directory that would take the room of records is not kept, and the last copy stays", () => {
  const journal = newState().open();
  journal.writeDevices(devices);
  const [device] = devices;
  if (device === undefined) throw new Error("no device");
  const huge = Array.from({ length: 90_000 }, (_, n): Device => ({
    ...device,
    nodeId: randomBytes(50).toString("hex") + n,
  }));
  expect(() => journal.writeDevices(huge)).toThrow("90000 devices take more than 4194304 bytes");
  expect(journal.readDevices()).toEqual(devices);
});
