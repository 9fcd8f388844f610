/** Tests what the journal and the operator are told about destinations at a start. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { useDestinations } from "../../src/export/destination.ts";
import { type LogFields, silentLogger } from "../../src/lib/logger.ts";
import { createStore, numberedFlow, take, type TestStore } from "../support/store.ts";
import { configWith } from "./settings.ts";

let store: TestStore;
let said: string[];

beforeEach(() => {
  store = createStore();
  said = [];
});
afterEach(() => store.remove());

const note = (level: string) => (message: string, fields?: LogFields) =>
  void said.push(`${level}: ${message} ${JSON.stringify(fields)}`);

function use(set: readonly string[]): Promise<void> {
  const logger = { ...silentLogger, info: note("info"), warn: note("warn") };
  const config = configWith(["otlp.endpoint=http://192.0.2.1:4318", ...set]);
  return useDestinations(config, { journal: store.journal, logger, move: () => undefined });
}

const named = (...names: readonly string[]) =>
  names.flatMap((name, index) => [
    `otlp.also.${index}.name=${name}`,
    `otlp.also.${index}.endpoint=http://192.0.2.2:4318`,
  ]);

test("a new or removed destination is logged once, an unchanged one is not", async () => {
  await use(named("lake", "pond"));
  await use(named("lake", "pond"));
  await take(store, [numberedFlow(1), numberedFlow(2)], store.now);
  await use(named("pond"));
  expect(said).toEqual([
    'info: new destination: its logs begin with the newest record; send earlier ones with replay {"destination":"lake"}',
    'info: new destination: its logs begin with the newest record; send earlier ones with replay {"destination":"pond"}',
    'warn: a destination is not configured any more: its position was deleted {"destination":"lake","undelivered":2}',
  ]);
});

test("a destination without logs has no position", () => {
  use([...named("lake"), "otlp.also.0.logs.enabled=false"]);
  expect([store.journal.destinations, said]).toEqual([[], []]);
});
