/** `quarantine …` as a process: with a running instance, and on the journal of a stopped one. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import type { Conservation } from "../../src/pipeline/observe.ts";
import { ask, configure, type RunningProgram, linesOf, startRunning, statusOf } from "./running.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import {
  badFlow,
  configAt,
  lineOf,
  markOf,
  markRows,
  numberedFlow,
  openStore,
  quarantine,
  take,
} from "../support/store.ts";

const parent = temporaryDirectory();

interface Item {
  readonly id: string;
  readonly class: string;
  readonly reason: string;
}

/** Ids of the items in a filled directory. */
interface Filled {
  /** A record that is invalid. */
  readonly invalid: string;
  /** A record that has become valid; its port is 2. */
  readonly valid: string;
  readonly sample: string;
  /** A note about a record that the backend partially rejected. */
  readonly note: string;
  /** A dead letter whose record's port is 4. */
  readonly deadLetter: string;
}

async function fill(directory: string): Promise<Filled> {
  const store = await openStore(configAt(join(directory, "state")));
  await take(store, [badFlow(1)], Date.now());
  const [{ id: invalid } = { id: "" }] = await store.journal.quarantine.page({}, { limit: 1 });
  const text = JSON.stringify({ event: numberedFlow(2) });
  const [valid = ""] = await quarantine(store, "invalid", [lineOf({ text })]);
  const [sample = ""] = await quarantine(store, "sample", [
    lineOf({ type: "unknown", reason: "unclassified", text: '{"a":1}' }),
  ]);
  await take(store, [numberedFlow(3)], Date.now());
  const partial = markOf(store.journal.lastSeq, { why: "partial", message: "rejected by alice@example.com" });
  await take(store, [numberedFlow(4)], Date.now());
  await markRows(store, [partial, markOf(store.journal.lastSeq)]);
  const newest = async (itemClass: "note" | "dead_letter"): Promise<string> =>
    (await store.journal.quarantine.page({ class: itemClass }, { limit: 1 }))[0]?.id ?? "";
  const [note, deadLetter] = [await newest("note"), await newest("dead_letter")];
  store.close();
  return { invalid, valid, sample, note, deadLetter };
}

const sums = async (directory: string, running?: RunningProgram): Promise<Conservation> =>
  (await statusOf(directory, running)).conservation;

/** Checks list and show, with a running instance or with a journal that is not open. */
async function expectListAndShow(directory: string, filled: Filled, running?: RunningProgram): Promise<void> {
  const { invalid, valid, sample, note, deadLetter } = filled;
  const all = await ask(directory, "quarantine list", running);
  const classes = linesOf<Item>(all).map((item) => [item.id, item.class] as const);
  expect(new Map(classes)).toEqual(
    new Map([
      [invalid, "invalid"],
      [valid, "invalid"],
      [sample, "sample"],
      [note, "note"],
      [deadLetter, "dead_letter"],
    ]),
  );
  expect(all.stderr).toContain(
    "invalid 2 (decode_error 1, negative_counters 1); sample 1 (unclassified 1); note 1 (partial 1); dead_letter 1 (rejected 1)",
  );
  const some = await ask(directory, "quarantine list --class invalid --reason decode_error --limit 1", running);
  expect(linesOf<Item>(some)).toMatchObject([{ id: valid, type: "flow", source: "stream", records: 1 }]);
  const shown = await ask(directory, `quarantine show ${invalid}`, running);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    id: invalid,
    texts: [JSON.stringify({ event: badFlow(1) })],
    isCut: false,
  });
  const letter = await ask(directory, `quarantine show ${deadLetter}`, running);
  expect(JSON.parse(letter.stdout)).toMatchObject({
    line: 0,
    records: 1,
    detail: "the backend did not like it",
    texts: [JSON.stringify({ event: numberedFlow(4) })],
  });
  const none = await ask(directory, "quarantine show 99.0", running);
  expect([none.code, none.stderr]).toEqual([1, "tailscale2otel: there is no item 99.0\n"]);
}

describe("with a running instance", () => {
  test("lists, shows, retries and purges items through it, and the sums hold", async () => {
    const sink = await startOtlpSink();
    const directory = configure(parent, "running", sink.url);
    const filled = await fill(directory);
    const running = await startRunning(directory);
    await expectListAndShow(directory, filled, running);

    const retry = await ask(directory, "quarantine retry --class invalid", running);
    expect(retry.code).toBe(1);
    expect(JSON.parse(retry.stdout)).toEqual({
      accepted: 1,
      duplicate: 0,
      queued: 0,
      kept: 1,
      missing: [],
      items: [{ id: filled.invalid, why: expect.stringContaining("invalid again (negative_counters)") }],
    });
    const { received, duplicate, skipped, quarantined, ...rest } = await sums(directory, running);
    expect(rest.accepted).toBe(3);
    expect(received).toBe(rest.accepted + duplicate + skipped + quarantined);

    const letters = await ask(directory, `quarantine retry ${filled.deadLetter}`, running);
    expect([letters.code, JSON.parse(letters.stdout)]).toMatchObject([0, { queued: 1, kept: 0 }]);
    await sink.until(({ logs }) => logs.some(({ attributes }) => attributes["destination.port"] === 4));

    const nothing = await ask(directory, "quarantine retry 99.9", running);
    expect([nothing.code, JSON.parse(nothing.stdout)]).toMatchObject([1, { kept: 0, items: [], missing: ["99.9"] }]);
    const samples = await ask(directory, "quarantine retry --class sample", running);
    expect(samples.stderr).toContain("only the classes invalid and dead_letter can be retried");
    const note = await ask(directory, `quarantine retry ${filled.note}`, running);
    expect(JSON.parse(note.stdout)).toMatchObject({
      kept: 1,
      items: [{ id: filled.note, why: expect.stringContaining("note") }],
    });

    const purged = await ask(directory, "quarantine purge --class note", running);
    expect(JSON.parse(purged.stdout)).toEqual({ purged: 1, keptDeadLetters: 0, missing: [] });
    const { accepted, delivered, pending, deadLettered } = await sums(directory, running);
    expect(delivered + pending + deadLettered).toBe(accepted);
    await running.stop();
    await sink.stop();
  }, 120_000);

  test("requires its admin token", async () => {
    const directory = configure(parent, "token", "");
    const running = await startRunning(directory);
    const { code, stderr } = await ask(directory, "quarantine list --set admin.token=wrong", running);
    expect([code, stderr]).toEqual([
      1,
      `tailscale2otel: ${running.admin} rejects the admin token that is set here. Set admin.token (TS2OTEL_ADMIN__TOKEN) to the instance's token, or give the instance's configuration with --config.\n`,
    ]);
    const none = await ask(directory, "quarantine list --set admin.token= --set state.path=other", running);
    expect(none.stderr).toBe(
      `tailscale2otel: ${running.admin} requires the admin token, and none is set here. Set admin.token (TS2OTEL_ADMIN__TOKEN) to the instance's token, or give the instance's configuration with --config.\n`,
    );
    const path = await ask(directory, `quarantine list --url ${running.admin}/elsewhere`);
    expect(path.stderr).toStartWith(
      `tailscale2otel: ${running.admin}/elsewhere is not an admin listener: another program or a receiver answers there. `,
    );
    rmSync(join(directory, "state/instance.json"));
    const busy = await ask(directory, "quarantine list");
    expect([busy.code, busy.stderr]).toEqual([
      1,
      expect.stringMatching(/although an instance is using \S+\. Set admin\.listen as that instance does/),
    ]);
    await running.stop();
  }, 120_000);
});

describe("while none runs", () => {
  test("the journal is opened, and the next run delivers the retried records", async () => {
    const sink = await startOtlpSink();
    const directory = configure(parent, "stopped", sink.url);
    const filled = await fill(directory);
    await expectListAndShow(directory, filled);
    const { invalid, valid, sample, note, deadLetter } = filled;
    const retry = await ask(directory, `quarantine retry ${invalid} ${valid} ${sample} ${deadLetter}`);
    expect([retry.code, JSON.parse(retry.stdout)]).toMatchObject([1, { accepted: 1, queued: 1, kept: 2 }]);
    expect(await sums(directory)).toMatchObject({ accepted: 3, delivered: 1, deadLettered: 1, pending: 1 });

    const running = await startRunning(directory);
    const ports = () => new Set(sink.logs.map(({ attributes }) => attributes["destination.port"]));
    await sink.until(() => ports().has(2) && ports().has(4));
    await running.stop();
    const left = linesOf<Item>(await ask(directory, "quarantine list")).map(({ id }) => id);
    expect(left.toSorted()).toEqual([invalid, sample, note].toSorted());
    await sink.stop();
  }, 120_000);

  test("dead letters are deleted only with --yes", async () => {
    const directory = configure(parent, "purge", "");
    const { deadLetter } = await fill(directory);
    const letters = await ask(directory, "quarantine purge --class dead_letter");
    expect([letters.code, letters.stderr]).toEqual([1, expect.stringContaining("to delete them, add --yes")]);
    const old = await ask(directory, "quarantine purge --before 0s");
    expect(JSON.parse(old.stdout)).toEqual({ purged: 4, keptDeadLetters: 1, missing: [] });
    const none = await ask(directory, "quarantine purge m99");
    expect([none.code, JSON.parse(none.stdout)]).toMatchObject([1, { purged: 0, missing: ["m99"] }]);
    expect((await runToEnd(directory, ["quarantine", "purge", "m99"])).stdout).toBe("there is no item m99\n");
    const idle = await ask(directory, "quarantine retry --cancel");
    expect([idle.code, idle.stderr]).toEqual([1, "tailscale2otel: no retry is in progress\n"]);
    expect((await ask(directory, `quarantine retry ${deadLetter}`)).code).toBe(0);
    const cancelled = await ask(directory, "quarantine retry --cancel");
    expect(JSON.parse(cancelled.stdout)).toMatchObject({ name: "retry", state: "cancelled" });
    const all = await ask(directory, `quarantine purge ${deadLetter} --yes`);
    expect(JSON.parse(all.stdout)).toEqual({ purged: 1, keptDeadLetters: 0, missing: [] });
  }, 120_000);

  test("applies privacy to texts and details", async () => {
    const directory = configure(parent, "privacy", "", '[privacy]\nemails = "drop"\n');
    const { note } = await fill(directory);
    const { stdout } = await ask(directory, `quarantine show ${note}`);
    expect(JSON.parse(stdout)).toMatchObject({ detail: "rejected by [dropped]" });
  }, 120_000);

  test("creates no journal if there is none", async () => {
    const directory = configure(parent, "nothing", "");
    const { code, stderr } = await ask(directory, "quarantine list");
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is no journal in")]);
  }, 120_000);
});

test("reports mistakes in the command line", async () => {
  const directory = configure(parent, "usage", "");
  for (const [words, why] of [
    ["quarantine", "quarantine needs one of: quarantine list, quarantine show"],
    ["quarantine show", "the id is missing"],
    ["quarantine show 1.0 2.0", 'unexpected argument "2.0"'],
    ["quarantine show 17", '"17" is not the id of an item'],
    [
      "quarantine retry",
      "ids of items are required, or a filter such as --class or --cancel (see tailscale2otel quarantine retry --help)",
    ],
    ["quarantine purge", "ids of items are required, or a filter such as --class or --before"],
    ["quarantine retry 1.0 --class invalid", "give ids of items or a filter, not both"],
    ["quarantine purge --before yesterday", "--before must be a duration such as 8h"],
    ["quarantine list --limit 0", "--limit must be a whole number from 1 to 1000"],
    ["replay --since 2999-01-01T00:00:00Z", "--since is in the future"],
    ["quarantine list --url nowhere", "--url must be an address"],
  ] as const) {
    const { code, stderr } = await ask(directory, words);
    expect([words, code, stderr]).toEqual([words, 64, expect.stringContaining(why)]);
  }
}, 120_000);
