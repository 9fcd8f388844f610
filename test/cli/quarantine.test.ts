/** `quarantine …` as a process of its own: with a running instance, and over the journal of one that is not running. */
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import type { Conservation } from "../../src/pipeline/conservation.ts";
import { badFlow, itemOf, numberedFlow, openState, setAside, take } from "../support/kept-state.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { ask, configure, type KeptProgram, linesOf, startKept } from "./kept-program.ts";
import { temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();

interface Item {
  readonly id: number;
  readonly class: string;
  readonly reason: string;
}

/** Items 1 to 5: a record that makes no sense, one that does by now, a sample, a note, a dead letter. */
async function fill(directory: string): Promise<void> {
  const journal = openState(join(directory, "state"));
  await take(journal, [badFlow(1)], Date.now());
  setAside(journal, [
    itemOf({ class: "invalid", reason: "decode_error", text: JSON.stringify({ event: numberedFlow(2) }) }),
    itemOf({ class: "sample", reason: "unclassified", type: "unknown", text: '{"a":1}' }),
    itemOf({ class: "note", reason: "partial_success", text: "rejected by alice@example.com" }),
    itemOf({ text: JSON.stringify({ event: numberedFlow(3) }) }),
  ]);
  journal.close();
}

async function sums(directory: string, running?: KeptProgram): Promise<Conservation> {
  const { stdout } = await ask(directory, "status", running);
  return (JSON.parse(stdout) as { conservation: Conservation }).conservation;
}

/** What holds of both ways: of a running instance, and of a journal that nobody has open. */
async function expectListAndShow(directory: string, running?: KeptProgram): Promise<void> {
  const all = await ask(directory, "quarantine list", running);
  expect(linesOf<Item>(all).map((item) => [item.id, item.class])).toEqual([
    [5, "dead_letter"],
    [4, "note"],
    [3, "sample"],
    [2, "invalid"],
    [1, "invalid"],
  ]);
  expect(all.stderr).toContain(
    "invalid 2 (decode_error 1, negative_counters 1); sample 1 (unclassified 1); note 1 (partial_success 1); dead_letter 1 (rejected 1)",
  );
  const some = await ask(directory, "quarantine list --class invalid --reason decode_error --limit 1", running);
  expect(linesOf<Item>(some)).toMatchObject([{ id: 2, type: "flow", source: "stream" }]);
  const shown = await ask(directory, "quarantine show 1", running);
  expect(JSON.parse(shown.stdout)).toMatchObject({ id: 1, text: JSON.stringify({ event: badFlow(1) }), isCut: false });
  const none = await ask(directory, "quarantine show 99", running);
  expect([none.code, none.stderr]).toEqual([1, "tailscale2otel: there is no item 99\n"]);
}

describe("with a running instance", () => {
  test("items are listed, shown, retried and purged through it, and the sums hold", async () => {
    const sink = await startOtlpSink();
    const directory = configure(parent, "running", sink.url);
    await fill(directory);
    const running = await startKept(directory);
    await expectListAndShow(directory, running);

    const retry = await ask(directory, "quarantine retry --class invalid", running);
    expect(retry.code).toBe(1);
    expect(JSON.parse(retry.stdout)).toEqual({
      accepted: 1,
      duplicate: 0,
      queued: 0,
      stay: 1,
      kept: [{ id: 1, why: "it is refused again (negative_counters): a counter is negative: -1" }],
    });
    expect(await sums(directory, running)).toMatchObject({ received: 2, accepted: 1, quarantined: 1, duplicate: 0 });

    const letters = await ask(directory, "quarantine retry 5", running);
    expect([letters.code, JSON.parse(letters.stdout)]).toMatchObject([0, { queued: 1, stay: 0 }]);
    await sink.until(({ logs }) => logs.some(({ attributes }) => attributes["destination.port"] === 3));

    const samples = await ask(directory, "quarantine retry --class sample", running);
    expect(samples.stderr).toContain("only items of the classes invalid and dead_letter can be retried");
    const note = await ask(directory, "quarantine retry 4", running);
    expect(JSON.parse(note.stdout)).toMatchObject({ stay: 1, kept: [{ id: 4, why: expect.stringContaining("note") }] });

    const purged = await ask(directory, "quarantine purge --class note", running);
    expect(JSON.parse(purged.stdout)).toEqual({ purged: 1, keptDeadLetters: 0 });
    const { accepted, delivered, pending, deadLettered } = await sums(directory, running);
    expect(delivered + pending + deadLettered).toBe(accepted);
    await running.stop();
    await sink.stop();
  }, 30_000);

  test("its token is asked for", async () => {
    const directory = configure(parent, "token", "");
    const running = await startKept(directory);
    const { code, stderr } = await ask(directory, "quarantine list --set admin.token=wrong", running);
    expect([code, stderr]).toEqual([1, "tailscale2otel: the instance asks for its admin token: set admin.token\n"]);
    const busy = await ask(directory, "quarantine list");
    expect([busy.code, busy.stderr]).toEqual([1, expect.stringContaining("another process uses the state directory")]);
    await running.stop();
  }, 30_000);
});

describe("while none runs", () => {
  test("the journal is opened: what is retried is delivered by the next run", async () => {
    const sink = await startOtlpSink();
    const directory = configure(parent, "stopped", sink.url);
    await fill(directory);
    await expectListAndShow(directory);
    const retry = await ask(directory, "quarantine retry 1 2 3 5");
    expect([retry.code, JSON.parse(retry.stdout)]).toMatchObject([1, { accepted: 1, queued: 1, stay: 2 }]);
    expect(await sums(directory)).toMatchObject({ received: 2, accepted: 1, quarantined: 1, pending: 1 });

    const running = await startKept(directory);
    const ports = () => new Set(sink.logs.map(({ attributes }) => attributes["destination.port"]));
    await sink.until(() => ports().has(2) && ports().has(3));
    await running.stop();
    expect(linesOf<Item>(await ask(directory, "quarantine list")).map(({ id }) => id)).toEqual([4, 3, 1]);
    await sink.stop();
  }, 30_000);

  test("dead letters are deleted only with --yes", async () => {
    const directory = configure(parent, "purge", "");
    await fill(directory);
    const letters = await ask(directory, "quarantine purge --class dead_letter");
    expect([letters.code, letters.stderr]).toEqual([1, expect.stringContaining("only with --yes")]);
    const old = await ask(directory, "quarantine purge --before 0s");
    expect(JSON.parse(old.stdout)).toEqual({ purged: 4, keptDeadLetters: 1 });
    const all = await ask(directory, "quarantine purge 5 --yes");
    expect(JSON.parse(all.stdout)).toEqual({ purged: 1, keptDeadLetters: 0 });
  }, 30_000);

  test("what privacy hides is hidden in texts and details", async () => {
    const directory = configure(parent, "privacy", "", '[privacy]\nemails = "drop"\n');
    await fill(directory);
    const { stdout } = await ask(directory, "quarantine show 4");
    expect(JSON.parse(stdout)).toMatchObject({ text: "rejected by [dropped]" });
  }, 30_000);

  test("no journal is made where there is none", async () => {
    const directory = configure(parent, "nothing", "");
    const { code, stderr } = await ask(directory, "quarantine list");
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is no journal in")]);
  }, 30_000);
});

test("mistakes in the words are told", async () => {
  const directory = configure(parent, "usage", "");
  for (const [words, why] of [
    ["quarantine", "quarantine needs one of: quarantine list, quarantine show"],
    ["quarantine show", "the id is missing"],
    ["quarantine show 1 2", 'unexpected argument "2"'],
    ["quarantine show x", '"x" is no number of an item'],
    ["quarantine retry", "which items? Give their numbers, or --class"],
    ["quarantine retry 1 --class invalid", "give numbers of items or what they share, not both"],
    ["quarantine purge --before yesterday", "--before takes a duration such as 8h"],
    ["quarantine list --limit 0", "--limit takes a number from 1 to 1000"],
    ["quarantine list --url nowhere", "--url takes an address"],
  ] as const) {
    const { code, stderr } = await ask(directory, words);
    expect([words, code, stderr]).toEqual([words, 64, expect.stringContaining(why)]);
  }
}, 30_000);
