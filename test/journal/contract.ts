/**
 * The contract of every journal. An implementation calls `journalContract` with a factory of places in which a journal can be
 * opened, closed and opened again.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Unavailable } from "../../src/errors.ts";
import { type Committed, type Journal, partFlags, startOfJournal } from "../../src/journal/index.ts";
import { decodeLeftOut, keepsAll } from "../../src/records/flow/rows.ts";
import {
  acceptedIn,
  appendNumbers,
  appendOf,
  cursorAt,
  finishAll,
  hourMs,
  keyInWindow,
  keyOf,
  markOn,
  mebibyte,
  numbersIn,
  partOf,
  quarantineOf,
  rowsIn,
  settle,
  type TestState,
} from "./support.ts";
import { until } from "../support/wait.ts";

export function journalContract(create: () => TestState): void {
  let state: TestState;
  beforeEach(() => {
    state = create();
  });
  afterEach(() => state.remove());

  const minute = 60_000;
  const noCallback = (): void => undefined;

  describe("an append accepts", () => {
    test("new records, once", async () => {
      const journal = await state.open();
      const first = await appendNumbers(journal, [1, 2, 3]);
      const second = await appendNumbers(journal, [1, 2, 3]);
      expect([acceptedIn(first), acceptedIn(second)]).toEqual([3, 0]);
      expect(second.tally.duplicates).toEqual({ flow: 3 });
      expect(await numbersIn(journal)).toEqual([1, 2, 3]);
      await journal.maintain();
      expect(journal.keyCount("flow")).toBe(3);
    });

    test("the new records of a part, repacked without the known ones, and reports which were dropped", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [2, 4]);
      const { parts, tally } = await appendNumbers(journal, [1, 2, 3, 4, 5]);
      expect(parts.map(({ accepted }) => accepted)).toEqual([3]);
      expect(parts[0]?.part.records).toBe(5);
      expect(parts[0]?.dropped).toEqual(Uint8Array.of(0, 1, 0, 1, 0));
      expect(tally.duplicates).toEqual({ flow: 2 });
      expect(await numbersIn(journal)).toEqual([2, 4, 1, 3, 5]);
    });

    test("one of two equal records in one part, in two parts and in two batches of one turn", async () => {
      const journal = await state.open();
      const answers = await Promise.all([
        journal.append(appendOf([partOf([1, 1, 2]), partOf([2, 3])]), noCallback),
        appendNumbers(journal, [3, 4]),
      ]);
      expect(answers.map(acceptedIn)).toEqual([3, 1]);
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4]);
    });

    test("records with the same key in different classes", async () => {
      const journal = await state.open();
      const parts = (["flow", "audit", "webhook"] as const).map((type) => partOf([1], { type }));
      expect(acceptedIn(await journal.append(appendOf(parts), noCallback))).toBe(3);
    });

    test("a batch with nothing new as a row without records that keeps the tally", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      await appendNumbers(journal, [1], { skipped: { unclassified: 4 } });
      const [, row] = await rowsIn(journal);
      expect(row).toMatchObject({ seq: 2, type: "tally", records: 0, tally: { skipped: { unclassified: 4 } } });
      expect(row?.tally?.duplicates).toEqual({ flow: 1 });
    });

    test("keys known at the time of decoding as duplicates, even if they have expired since", async () => {
      const journal = await state.open();
      const known = [{ type: "flow" as const, keys: keyOf(1), keysAt: state.now }];
      const { tally } = await journal.append(appendOf([], { known }), noCallback);
      expect(tally).toMatchObject({ duplicates: { flow: 1 } });
    });
  });

  describe("an append counts", () => {
    test("a known record with other counters as a conflict, and keeps the first", async () => {
      const journal = await state.open();
      await journal.append(appendOf([partOf([1], { keys: [keyOf(1, 7)] })]), noCallback);
      const second = await journal.append(appendOf([partOf([1], { keys: [keyOf(1, 8)] })]), noCallback);
      expect(second.tally.conflicts).toEqual({ counters: 1, entries: 0 });
      const third = await journal.append(appendOf([partOf([1], { keys: [keyOf(1, 7)] })]), noCallback);
      expect(third.tally.conflicts).toBeUndefined();
    });

    test("a known window with other entries as a new record and a conflict", async () => {
      const journal = await state.open();
      await journal.append(appendOf([partOf([1], { keys: [keyInWindow(9, 1)] })]), noCallback);
      const second = await journal.append(appendOf([partOf([2], { keys: [keyInWindow(9, 2)] })]), noCallback);
      expect(acceptedIn(second)).toBe(1);
      expect(second.tally.conflicts).toEqual({ counters: 0, entries: 1 });
    });

    test("future, unproven and replaced times of accepted records only", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      const flags = [partFlags.ahead, partFlags.unproven | partFlags.ahead, partFlags.replacedTime];
      const { tally } = await journal.append(appendOf([partOf([1, 2, 3], { flags })]), noCallback);
      expect(tally).toMatchObject({ futureTimes: 1, unproven: { flow: 1 }, replacedTimes: 1 });
    });

    test("records that a poll repaired, and those that the stream delivered afterwards", async () => {
      const journal = await state.open();
      const repair = await appendNumbers(journal, [1, 2], { source: "poll", repairs: true });
      expect(repair.tally.repaired).toEqual({ flow: 2 });
      const late = await appendNumbers(journal, [1]);
      expect(late.tally).toMatchObject({ duplicates: { flow: 1 }, late: { flow: 1 } });
      expect((await appendNumbers(journal, [1])).tally.late).toBeUndefined();
      await journal.close();
      const again = await state.open();
      expect((await appendNumbers(again, [1])).tally.late).toBeUndefined();
      expect((await appendNumbers(again, [2])).tally.late).toEqual({ flow: 1 });
    });

    test("log records beyond the batch's limit, and keeps how many of each record remain", async () => {
      const journal = await state.open();
      const part = partOf([1, 2, 3], { logRecords: [2, 4, 5] });
      const { tally } = await journal.append(appendOf([part], { maxLogRecords: 5 }), noCallback);
      expect(tally.droppedLogRecords).toBe(6);
      const [row] = await rowsIn(journal);
      expect(decodeLeftOut(row?.leftOut as Uint8Array).kept).toEqual(Uint32Array.of(keepsAll, 3, 0));
    });

    test("seconds that a poll skipped, and moves its cursor", async () => {
      const journal = await state.open();
      const poll = { type: "flow" as const, readUntil: 1000, unverifiableSeconds: 30 };
      const { tally } = await journal.append(appendOf([], { source: "poll", poll }), noCallback);
      expect(tally.unverifiable).toEqual({ flow: 30 });
      expect(journal.pollCursor("flow")).toEqual({ type: "flow", readUntil: 1000 });
    });

    test("a webhook event as a duplicate if an audit record has reported the same within a second", async () => {
      const journal = await state.open();
      const fact = (second: number, ms: number): Uint32Array =>
        keyOf(`fact ${second}`, (second * 1000 + ms) % 0x100_0000);
      const around = (second: number, ms: number): Uint32Array =>
        Uint32Array.from(
          [second, second - 1, second + 1].flatMap((one) => [
            ...keyOf(`fact ${one}`, (second * 1000 + ms) % 0x100_0000),
          ]),
        );
      await journal.append(appendOf([partOf([1], { type: "audit", facts: [fact(50, 900)] })]), noCallback);
      const event = (n: number, second: number, ms: number): Promise<Committed> =>
        journal.append(appendOf([partOf([n], { type: "webhook", facts: [around(second, ms)] })]), noCallback);
      expect((await event(2, 51, 900)).tally.duplicates).toEqual({ webhook: 1 });
      expect((await event(3, 49, 900)).tally.duplicates).toEqual({ webhook: 1 });
      expect(acceptedIn(await event(4, 51, 901))).toBe(1);
      expect(acceptedIn(await event(5, 49, 899))).toBe(1);
    });
  });

  describe("a turn", () => {
    test("shares one transaction between batches that arrive together", async () => {
      const journal = await state.open();
      await Promise.all([1, 2, 3, 4].map((n) => appendNumbers(journal, [n])));
      expect(state.transactions).toBe(1);
      expect(journal.lastSeq).toBe(4);
    });

    test("reports commits in the order of seq, before any sender is answered", async () => {
      const journal = await state.open();
      const events: string[] = [];
      await Promise.all(
        [1, 2, 3].map((n) =>
          journal
            .append(appendOf([partOf([n])]), ({ lastSeq }) => events.push(`committed ${lastSeq}`))
            .then(({ lastSeq }) => events.push(`answered ${lastSeq}`)),
        ),
      );
      expect(events).toEqual(["committed 1", "committed 2", "committed 3", "answered 1", "answered 2", "answered 3"]);
    });

    test("answers all senders even if counting one of their batches fails", async () => {
      const journal = await state.open();
      const fails = (): void => {
        throw new Error("a bug");
      };
      const answers = await Promise.all([
        journal.append(appendOf([partOf([1])]), fails),
        journal.append(appendOf([partOf([2])]), noCallback),
      ]);
      expect(answers.map(({ lastSeq }) => lastSeq)).toEqual([1, 2]);
      expect(await numbersIn(journal)).toEqual([1, 2]);
      expect(state.log.join()).toContain("a bug");
      expect(acceptedIn(await appendNumbers(journal, [1, 2, 3]))).toBe(1);
    });

    test("commits what came before the end, and refuses what comes after", async () => {
      const journal = await state.open();
      const waiting = appendNumbers(journal, [1]);
      await journal.close();
      expect(acceptedIn(await waiting)).toBe(1);
      expect(appendNumbers(journal, [2])).rejects.toBeInstanceOf(Unavailable);
    });
  });

  describe("once it is closed, a journal", () => {
    test("throws Unavailable or does nothing, and does not touch the files of the next one", async () => {
      const closed = await state.open();
      await appendNumbers(closed, [1, 2]);
      await closed.close();
      const next = await state.open();
      await appendNumbers(next, [3]);
      const plan = { name: "replay" as const, id: 1, cursor: startOfJournal, untilSeq: 1, total: 0 };
      const refused: readonly (() => unknown)[] = [
        () => closed.quarantine.page({}, { limit: 1 }),
        () => closed.planRetry({}, 1),
        () => closed.beginRedelivery(plan),
        () => closed.cancelRedelivery("replay"),
        () => closed.setPollCursor("flow", { type: "flow", readUntil: 9 }),
        () => closed.setPollCursor("flow", undefined),
        () => closed.writeSnapshot({ measuredSeq: 1, blobs: new Map() }),
        () => closed.readSnapshot(),
        () => closed.beginSeriesAnew(1),
        () => closed.readState("a"),
        () => closed.writeState("a", Uint8Array.of(1)),
        () => closed.settleLoss(99),
        () => closed.openReader(),
      ];
      for (const call of refused) await expect((async () => call())()).rejects.toBeInstanceOf(Unavailable);
      await expect(closed.planReplay({ since: 0, until: state.now }, 1)).rejects.toBeInstanceOf(Unavailable);
      await expect(appendNumbers(closed, [4])).rejects.toBeInstanceOf(Unavailable);
      closed.progress({ cursor: cursorAt(2, 2), marks: [markOn(1)] });
      closed.progress({ marks: [markOn(1)] });
      closed.progress({ redelivered: [{ name: "replay", id: 1, cursor: startOfJournal, taken: [1], isOver: true }] });
      closed.damaged("a reader of the closed one found it");
      await closed.maintain();
      await closed.close();
      expect([closed.space.refusal, closed.wantsSnapshot]).toEqual(["the journal is closed", false]);
      expect([closed.pendingSince, closed.pendingRecords, closed.cursor]).toEqual([undefined, 2, startOfJournal]);
      await appendNumbers(next, [5]);
      expect(state.damages).toBe(0);
      await next.close();
      expect(await numbersIn(await state.open())).toEqual([1, 2, 3, 5]);
      expect(state.log.filter((line) => line.startsWith("error"))).toEqual([]);
    });
  });

  describe("a reader", () => {
    test("returns rows without their texts in order, up to a limit, from a given row on", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2]);
      await appendNumbers(journal, [1, 2]);
      await appendNumbers(journal, [3]);
      const reader = journal.openReader();
      const headsOf = async (from: number, rows: number) =>
        (await reader.heads(from, rows)).map(({ seq, type, records }) => [seq, type, records]);
      expect(await headsOf(1, 9)).toEqual([
        [1, "flow", 2],
        [2, "tally", 0],
        [3, "flow", 1],
      ]);
      expect(await headsOf(2, 1)).toEqual([[2, "tally", 0]]);
      expect(await headsOf(4, 9)).toEqual([]);
      const [head] = await reader.heads(3, 1);
      const [row] = await reader.read(3, { rows: 1, bytes: 1 });
      expect(head?.acceptedAt).toBe(row?.acceptedAt as number);
      reader.close();
    });

    test("returns rows in order, limited by number and by bytes", async () => {
      const journal = await state.open();
      for (const n of [1, 2, 3, 4]) await appendNumbers(journal, [n]);
      const reader = journal.openReader();
      const seqs = async (from: number, rows: number, bytes: number) =>
        (await reader.read(from, { rows, bytes })).map(({ seq }) => seq);
      expect(await seqs(2, 2, mebibyte)).toEqual([2, 3]);
      expect(await seqs(1, 100, 1)).toEqual([1]);
      expect(await seqs(5, 100, mebibyte)).toEqual([]);
      reader.close();
    });

    test("returns a row as it was appended", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2], { source: "poll", receivedAt: 12_345, bytes: 7 });
      expect(await rowsIn(journal)).toEqual([
        {
          seq: 1,
          acceptedAt: 12_345,
          source: "poll",
          type: "flow",
          records: 2,
          text: new Uint8Array(Buffer.from('{"event":{"n":1}}\n{"event":{"n":2}}')) as never,
          leftOut: undefined,
          tally: { bytes: 7, bytesOf: "flow" },
          damage: undefined,
        },
      ]);
    });
  });

  describe("delivery", () => {
    test("leaves records pending until the cursor has passed them", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3], { receivedAt: 5000 });
      await appendNumbers(journal, [4], { receivedAt: 6000 });
      expect([journal.cursor, journal.pendingRecords]).toEqual([startOfJournal, 4]);
      await until(() => journal.pendingSince === 5000);
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await settle(journal);
      expect(journal.pendingRecords).toBe(1);
      await until(() => journal.pendingSince === 6000);
      journal.progress({ cursor: cursorAt(3, 3, 1), marks: [markOn(2)] });
      await settle(journal);
      expect([journal.pendingRecords, journal.pendingSince]).toEqual([0, undefined]);
    });

    test("continues after a restart from the same position, with the same sums", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await appendNumbers(journal, [4, 5]);
      journal.progress({ cursor: { ...cursorAt(2, 4), record: 1, logRecord: 2 }, marks: [] });
      await journal.close();
      const again = await state.open();
      expect(again.cursor).toEqual({ ...cursorAt(2, 4), record: 1, logRecord: 2 });
      expect(again.pendingRecords).toBe(1);
      await appendNumbers(again, [6]);
      expect(again.pendingRecords).toBe(2);
    });

    test("is committed with the next write at the latest", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      journal.progress({ cursor: cursorAt(2, 1), marks: [] });
      await settle(journal);
      expect(journal.cursor).toEqual(cursorAt(2, 1));
    });
  });

  describe("a row is deleted", () => {
    /** Numbers left of five if the given ones may not be deleted yet; if rows are deleted by day, all wait for the last one. */
    const leftOfFive = (...waiting: number[]): number[] =>
      state.leavesByDay && waiting.length > 0 ? [1, 2, 3, 4, 5] : waiting;
    /** How much later than its time a row is deleted. */
    const lateMs = (): number => (state.leavesByDay ? 24 * hourMs : 0);

    async function journalOfFive(): Promise<Journal> {
      const journal = await state.open();
      for (const n of [1, 2, 3, 4, 5]) await appendNumbers(journal, [n], { receivedAt: state.now });
      return journal;
    }

    test("if it is delivered, measured and past retention", async () => {
      const journal = await journalOfFive();
      journal.progress({ cursor: cursorAt(4, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 2, blobs: new Map() });
      state.now += hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4, 5]);
      state.now += 1 + lateMs();
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual(leftOfFive(3, 4, 5));
      await journal.writeSnapshot({ measuredSeq: 5, blobs: new Map() });
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual(leftOfFive(4, 5));
      journal.progress({ cursor: cursorAt(6, 5), marks: [] });
      await settle(journal);
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
    });

    test("never before it is both delivered and measured", async () => {
      const journal = await journalOfFive();
      await journal.writeSnapshot({ measuredSeq: 5, blobs: new Map() });
      state.now += 1000 * hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4, 5]);
      journal.progress({ cursor: cursorAt(6, 5), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 0, blobs: new Map() });
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4, 5]);
    });

    test("and its seq is not used again", async () => {
      const journal = await journalOfFive();
      await finishAll(journal);
      state.now += 1000 * hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
      await journal.close();
      const again = await state.open();
      expect(again.lastSeq).toBe(5);
      expect((await appendNumbers(again, [6])).lastSeq).toBe(6);
      expect(again.pendingRecords).toBe(1);
    });

    test("without its keys, which expire separately", async () => {
      const journal = await journalOfFive();
      await finishAll(journal);
      state.now += 2 * hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual(state.leavesByDay ? [1, 2, 3, 4, 5] : []);
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(true);
      state.now += 4 * hourMs + 1;
      await journal.maintain();
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(false);
      expect(journal.keyCount("flow")).toBe(0);
    });

    test("but not while it has a mark", async () => {
      const journal = await journalOfFive();
      await finishAll(journal);
      journal.progress({ marks: [markOn(3)] });
      await settle(journal);
      state.now += 1000 * hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([3]);
      expect(await journal.quarantine.remove(["m1"])).toBe(1);
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
    });

    test("but not until a replay has passed it", async () => {
      const journal = await journalOfFive();
      await finishAll(journal);
      await journal.beginRedelivery(await journal.planReplay({ since: 0, until: state.now }, 1));
      state.now += 1000 * hourMs;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4, 5]);
      journal.progress({ redelivered: [{ name: "replay", id: 1, cursor: cursorAt(4, 3), taken: [], isOver: false }] });
      await settle(journal);
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([4, 5]);
      expect(await journal.cancelRedelivery("replay")).toBe(true);
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
    });

    test("even if its clock was a year ahead, and so are later rows", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1], { receivedAt: state.now + 8760 * hourMs });
      await appendNumbers(journal, [2], { receivedAt: state.now });
      await finishAll(journal);
      state.now += 2 * hourMs + lateMs();
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
    });

    test("not at once if the machine's clock leaps ahead", async () => {
      const journal = await journalOfFive();
      await finishAll(journal);
      state.steady = 0;
      await journal.maintain();
      state.now += 1000 * hourMs;
      state.steady = minute;
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([1, 2, 3, 4, 5]);
      state.steady = hourMs + lateMs();
      await journal.maintain();
      expect(await numbersIn(journal)).toEqual([]);
    });
  });

  describe("a key is kept", () => {
    test("while a poll of its type will read its time again", async () => {
      const journal = await state.open({ pollOverlapMs: hourMs });
      await journal.append(appendOf([partOf([1], { keysAt: state.now })]), noCallback);
      await journal.setPollCursor("flow", { type: "flow", readUntil: Math.floor(state.now / 1000) + 60 });
      state.now += 100 * hourMs;
      await journal.maintain();
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(true);
      await journal.setPollCursor("flow", { type: "flow", readUntil: Math.floor(state.now / 1000) });
      await journal.maintain();
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(false);
    });

    test("until the row that repeated it has expired too", async () => {
      const journal = await state.open();
      const part = (keysAt: number) => partOf([1], { keysAt });
      await journal.append(appendOf([part(state.now)]), noCallback);
      await journal.append(appendOf([part(state.now + hourMs)], { source: "poll" }), noCallback);
      state.now += 6.5 * hourMs;
      await journal.maintain();
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(true);
      state.now += hourMs;
      await journal.maintain();
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(false);
    });

    test("unless its class exceeds its limit: the oldest expire, and the horizon moves, which survives restarts", async () => {
      const journal = await state.open({ maxKeys: 1000 });
      for (let batch = 0; batch < 12; batch++) {
        const numbers = Array.from({ length: 100 }, (_, n) => batch * 100 + n);
        const source = batch === 0 ? "stream" : "poll";
        await journal.append(
          appendOf([partOf(numbers, { keysAt: (batch + 1) * 2 * minute, day: batch })], { source }),
          noCallback,
        );
      }
      expect(journal.horizon("flow")).toEqual({ until: 0, streamed: 0 });
      state.now = hourMs;
      await journal.maintain();
      expect(journal.keyCount("flow")).toBe(1000);
      expect(await state.holds(journal, "flow", keyOf(199))).toBe(false);
      expect(await state.holds(journal, "flow", keyOf(200))).toBe(true);
      expect(journal.horizon("flow")).toEqual({ until: 4 * minute, streamed: 2 * minute });
      await journal.close();
      const again = await state.open({ maxKeys: 1000 });
      expect([again.horizon("flow"), again.keyCount("flow")]).toEqual([
        { until: 4 * minute, streamed: 2 * minute },
        1000,
      ]);
    });

    test("beside thousands of others appended one by one, a second or two apart, and expires in its own hour", async () => {
      const journal = await state.open();
      const keysAt = (n: number): number => state.now + n * 2000;
      for (let n = 0; n < 400; n++)
        await journal.append(appendOf([partOf([n], { keysAt: keysAt(n), day: n })]), noCallback);
      await journal.close();
      const again = await state.open();
      expect(again.keyCount("flow")).toBe(400);
      for (let n = 0; n < 400; n++) expect(await state.holds(again, "flow", keyOf(n))).toBe(true);
      await again.append(appendOf([partOf([400], { keysAt: keysAt(400), day: 400 })]), noCallback);
      state.now += 6 * hourMs + 300_000;
      await again.maintain();
      expect(await state.holds(again, "flow", keyOf(399))).toBe(true);
      expect(await state.holds(again, "flow", keyOf(50))).toBe(false);
      await again.close();
      const third = await state.open();
      expect(await state.holds(third, "flow", keyOf(50))).toBe(false);
      expect(await state.holds(third, "flow", keyOf(400))).toBe(true);
    });

    test("with all others of the same append, however many they are", async () => {
      const journal = await state.open();
      for (const [first, count] of [
        [0, 3000],
        [3000, 40_000],
      ] as const) {
        const numbers = Array.from({ length: count }, (_, n) => first + n);
        await journal.append(appendOf([partOf(numbers)]), noCallback);
        expect(numbers.filter((n) => !journal.knows("flow", keyOf(n), 0))).toEqual([]);
        await journal.maintain();
        expect(journal.keyCount("flow")).toBe(first + count);
      }
    });

    test("over a restart, with its counters and its sources", async () => {
      const journal = await state.open();
      await journal.append(appendOf([partOf([1], { keys: [keyOf(1, 5)] })]), noCallback);
      await journal.close();
      const again = await state.open();
      const { tally } = await appendKey(again, keyOf(1, 6));
      expect(tally).toMatchObject({ duplicates: { flow: 1 }, conflicts: { counters: 1, entries: 0 } });
    });
  });

  const appendKey = (journal: Journal, key: Uint32Array): Promise<Committed> =>
    journal.append(appendOf([partOf([1], { keys: [key] })]), noCallback);

  describe("the poll cursor", () => {
    test("moves with its batch or alone, and survives a restart until it is dropped", async () => {
      const journal = await state.open();
      expect(journal.pollCursor("audit")).toBeUndefined();
      const poll = { type: "audit" as const, readUntil: 10, isOurClock: true as const, unverifiableSeconds: 0 };
      await journal.append(appendOf([], { source: "poll", poll }), noCallback);
      expect(journal.pollCursor("audit")).toEqual({ type: "audit", readUntil: 10, isOurClock: true });
      await journal.setPollCursor("audit", { type: "audit", readUntil: 20 });
      await journal.close();
      const again = await state.open();
      expect(again.pollCursor("audit")).toEqual({ type: "audit", readUntil: 20 });
      await again.setPollCursor("audit", undefined);
      await again.close();
      expect((await state.open()).pollCursor("audit")).toBeUndefined();
    });
  });

  describe("the snapshot", () => {
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

    test("keeps blobs that are not named, and removes those set to undefined", async () => {
      const journal = await state.open();
      expect(journal.readSnapshot()).toEqual({ measuredSeq: 0, blobs: new Map() });
      await journal.writeSnapshot({
        measuredSeq: 3,
        blobs: new Map([
          ["a", bytes("1")],
          ["b", bytes("2")],
          ["c", bytes("3")],
        ]),
      });
      await journal.writeSnapshot({
        measuredSeq: 4,
        blobs: new Map([
          ["b", bytes("4")],
          ["c", undefined],
        ]),
      });
      await journal.close();
      const { measuredSeq, blobs } = (await state.open()).readSnapshot();
      expect(measuredSeq).toBe(4);
      expect([...blobs].map(([name, blob]) => [name, Buffer.from(blob).toString()])).toEqual([
        ["a", "1"],
        ["b", "4"],
      ]);
    });

    test("is cleared with the counters of delivery when series begin anew, but pending records stay pending", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await appendNumbers(journal, [4]);
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 1, blobs: new Map([["a", bytes("1")]]) });
      const { instanceId } = journal.identity;
      await journal.beginSeriesAnew(777);
      const check = (one: Journal): void => {
        expect(one.readSnapshot()).toEqual({ measuredSeq: 1, blobs: new Map() });
        expect(one.identity).toMatchObject({ instanceId, createdAt: 777 });
        expect(one.cursor).toEqual({ ...startOfJournal, seq: 2 });
        expect(one.pendingRecords).toBe(1);
      };
      check(journal);
      await journal.close();
      check(await state.open());
    });

    test("leaves sums that hold when series begin anew, by counting pending records as uncounted", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await appendNumbers(journal, [4]);
      await appendNumbers(journal, [5, 6]);
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 2, blobs: new Map() });
      await journal.beginSeriesAnew(777);
      const accepted = 2;
      await journal.settleLoss(accepted);
      const check = (one: Journal, delivered: number): void => {
        expect(one.loss).toMatchObject({ records: 0, uncounted: 1 });
        expect(one.cursor.records.delivered).toBe(delivered);
        expect(one.pendingRecords).toBe(accepted + one.loss.uncounted - delivered);
      };
      check(journal, 0);
      journal.progress({ cursor: cursorAt(4, 6), marks: [] });
      await settle(journal);
      check(journal, 3);
      await journal.close();
      check(await state.open(), 3);
    });

    test("keeps only what was delivered since series began anew, even if reports still include the time before", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 1, blobs: new Map() });
      await journal.beginSeriesAnew(777);
      await appendNumbers(journal, [4, 5]);
      await appendNumbers(journal, [6]);
      const logRecords = { delivered: 40, rejected: 2, deadLettered: 1 };
      const grown = { ...logRecords, delivered: 37 };
      journal.progress({ cursor: { ...cursorAt(3, 5), logRecords }, marks: [] });
      journal.progress({ cursor: { ...cursorAt(4, 5, 1), logRecords }, marks: [] });
      await settle(journal);
      const check = (one: Journal): void => {
        expect(one.cursor).toMatchObject({ seq: 4, records: { delivered: 2, deadLettered: 1 }, logRecords: grown });
        expect(one.pendingRecords).toBe(0);
      };
      check(journal);
      await journal.writeSnapshot({ measuredSeq: 3, blobs: new Map() });
      await journal.beginSeriesAnew(778);
      await appendNumbers(journal, [7]);
      journal.progress({ cursor: { ...cursorAt(5, 6, 1), logRecords: { ...logRecords, delivered: 41 } }, marks: [] });
      await journal.close();
      const again = await state.open();
      expect(again.cursor).toEqual({
        ...cursorAt(5, 1),
        logRecords: { delivered: 1, rejected: 0, deadLettered: 0 },
      });
      await appendNumbers(again, [8]);
      again.progress({ cursor: cursorAt(6, 2), marks: [] });
      await settle(again);
      expect([again.cursor.records.delivered, again.pendingRecords]).toEqual([2, 0]);
    });
  });

  describe("identity and state", () => {
    test("stay the same over restarts", async () => {
      const journal = await state.open();
      const { identity } = journal;
      expect(identity.identitySecret).toMatch(/^[0-9a-f]{64}$/);
      await journal.writeState("devices", Uint8Array.of(1, 2, 3));
      await journal.close();
      const again = await state.open();
      expect(again.identity).toEqual(identity);
      expect([...(again.readState("devices") ?? [])]).toEqual([1, 2, 3]);
      expect(again.readState("other")).toBeUndefined();
    });
  });

  describe("quarantine", () => {
    const invalid = (journal: Journal, texts: string[], more: object = {}): Promise<Committed> =>
      journal.append(appendOf([], { quarantine: [quarantineOf(texts)], ...more }), noCallback);

    test("keeps a text once, counts it, and is not pending", async () => {
      const journal = await state.open();
      const first = await invalid(journal, ["a", "b"]);
      expect(first.tally.quarantined).toEqual([{ type: "flow", reason: "decode_error", records: 2 }]);
      const second = await invalid(journal, ["b", "c"]);
      expect(second.tally).toMatchObject({ duplicates: { flow: 1 }, quarantined: [{ records: 1 }] });
      expect(journal.pendingRecords).toBe(0);
      expect(await journal.quarantine.counts({})).toEqual([{ class: "invalid", reason: "decode_error", items: 3 }]);
      expect((await journal.quarantine.page({}, { limit: 10 })).map(({ detail }) => detail)).toEqual([
        "about c",
        "about b",
        "about a",
      ]);
    });

    test("lists marks and lines in pages, newest first, by class, reason and time", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await invalid(journal, ["a", "b"]);
      await journal.append(
        appendOf([], { quarantine: [quarantineOf(["s"], { class: "sample", reason: "unclassified" })] }),
        noCallback,
      );
      journal.progress({
        cursor: cursorAt(2, 1, 2),
        marks: [
          markOn(1, { to: 2 }),
          markOn(1, { from: 2, to: 3, why: "too_large" }),
          markOn(1, { why: "partial", at: 5 }),
        ],
      });
      await settle(journal);
      const { quarantine } = journal;
      const all: string[] = [];
      for (let beforeId: string | undefined; ; beforeId = all.at(-1)) {
        const page = await quarantine.page({}, { limit: 2, ...(beforeId !== undefined && { beforeId }) });
        if (page.length === 0) break;
        all.push(...page.map(({ id }) => id));
      }
      expect(all.slice(0, 3)).toEqual(["5.0", "3.1", "3.0"]);
      const marked = all.slice(3);
      const records = await Promise.all(marked.map(async (id) => (await quarantine.read(id))?.item));
      expect(records).toMatchObject([
        { reason: "too_large", from: 2, records: 1 },
        { class: "note", reason: "partial", from: 0 },
        { reason: "rejected", from: 0, records: 2 },
      ]);
      const ids = async (filter: Parameters<typeof quarantine.page>[0]) =>
        (await quarantine.page(filter, { limit: 10 })).map(({ id }) => id);
      const [tooLarge = "", note = "", rejected = ""] = marked;
      expect(await ids({ class: "dead_letter" })).toEqual([tooLarge, rejected]);
      expect(await ids({ class: "note" })).toEqual([note]);
      expect(await ids({ class: "sample" })).toEqual(["5.0"]);
      expect(await ids({ reason: "too_large" })).toEqual([tooLarge]);
      expect(await ids({ before: 10 })).toEqual([note]);
      expect(await ids({ type: "audit" })).toEqual([]);
      expect(await ids({ type: "flow" })).toEqual(all);
      expect(await quarantine.counts({ class: "dead_letter" })).toEqual([
        { class: "dead_letter", reason: "rejected", items: 1 },
        { class: "dead_letter", reason: "too_large", items: 1 },
      ]);
    });

    test("shows a line's text, and the records covered by a mark", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await invalid(journal, ["a", "b"]);
      journal.progress({ marks: [markOn(1, { from: 1, to: 3, message: "too old" })] });
      await settle(journal);
      const { quarantine } = journal;
      const [mark = ""] = (await quarantine.page({ class: "dead_letter" }, { limit: 1 })).map(({ id }) => id);
      expect(await quarantine.read("3.1")).toMatchObject({
        texts: ["b"],
        isCut: false,
        item: { reason: "decode_error", from: 1 },
      });
      expect(await quarantine.read(mark)).toMatchObject({
        texts: ['{"event":{"n":2}}', '{"event":{"n":3}}'],
        item: { class: "dead_letter", type: "flow", detail: "too old", from: 1, records: 2 },
      });
      for (const id of ["m1", "m9", "3.2", "1.0", "x", "3", "3.999999999999999"])
        expect(await quarantine.read(id)).toBeUndefined();
    });

    test("removes texts and marks in any order, and the remaining texts keep their ids", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      await invalid(journal, ["a", "b", "c", "d", "e"]);
      journal.progress({ marks: [markOn(1)] });
      await settle(journal);
      const { quarantine } = journal;
      const ids = async () => (await quarantine.page({}, { limit: 10 })).map(({ id }) => id);
      const mark = (await ids()).at(-1) as string;
      expect(await quarantine.remove(["3.0", "3.0", "3.3", mark, "m1", "m99", "9.9"])).toBe(3);
      expect(await ids()).toEqual(["3.4", "3.2", "3.1"]);
      expect(await quarantine.counts({})).toEqual([{ class: "invalid", reason: "decode_error", items: 3 }]);
      const page = async (beforeId: string) => (await quarantine.page({}, { limit: 10, beforeId })).map(({ id }) => id);
      expect([await page("3.3"), await page("3.2"), await page("3.0")]).toEqual([["3.2", "3.1"], ["3.1"], []]);
      await journal.close();
      const again = await state.open();
      expect(await again.quarantine.remove(["3.1", "3.4"])).toBe(2);
      expect((await again.quarantine.read("3.2"))?.texts).toEqual(["c"]);
      expect(await again.quarantine.remove(["3.2"])).toBe(1);
      expect((await rowsIn(again)).map(({ seq }) => seq)).toEqual([1, 2]);
    });

    test("keeps a row at any age while it has texts", async () => {
      const journal = await state.open();
      await invalid(journal, ["a"]);
      await finishAll(journal);
      state.now += 1000 * hourMs;
      await journal.maintain();
      expect((await journal.quarantine.read("2.0"))?.texts).toEqual(["a"]);
    });

    test("clears the retried line in the same commit, and refuses the retry if the line is gone", async () => {
      const journal = await state.open();
      await invalid(journal, ["a", "b"]);
      const retries = { seq: 2, line: 0, reason: "decode_error" };
      const { tally } = await appendNumbers(journal, [1], { retries });
      expect(tally.retried).toEqual({ decode_error: 1 });
      expect((await journal.quarantine.page({}, { limit: 10 })).map(({ id }) => id)).toEqual(["2.1"]);
      const [gone, other] = await Promise.allSettled([
        appendNumbers(journal, [2], { retries }),
        appendNumbers(journal, [3]),
      ]);
      expect(gone.status).toBe("rejected");
      expect(other.status).toBe("fulfilled");
      expect(await numbersIn(journal)).toEqual([1, 3]);
      expect(await state.holds(journal, "flow", keyOf(2))).toBe(false);
      expect(journal.space.refusal).toBeUndefined();
    });
  });

  describe("marks", () => {
    test("are read by a reader, oldest first, by any filter", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      await journal.append(appendOf([partOf([4], { type: "audit" })]), noCallback);
      journal.progress({ marks: [markOn(1, { at: 1 }), markOn(1, { at: 2, why: "failing" }), markOn(2, { at: 3 })] });
      await settle(journal);
      const reader = journal.openReader();
      const ids = async (filter: object, afterId = 0, marks = 10) =>
        (await reader.marks(filter, { afterId, marks })).map(({ id }) => id);
      expect(await ids({})).toEqual([1, 2, 3]);
      expect(await ids({}, 1, 1)).toEqual([2]);
      expect(await ids({ type: "audit" })).toEqual([3]);
      expect(await ids({ reason: "failing" })).toEqual([2]);
      expect(await ids({ before: 2 })).toEqual([1]);
      expect(await ids({ ids: ["m3", "m1", "m99"] })).toEqual([1, 3]);
      expect(await ids({ class: "note" })).toEqual([]);
      expect(await reader.marks({ ids: ["m2"] }, { afterId: 0, marks: 1 })).toEqual([
        { ...markOn(1, { at: 2, why: "failing" }), id: 2 },
      ]);
      reader.close();
    });

    test("keep the newest hundred notes", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      journal.progress({ marks: Array.from({ length: 130 }, (_, at) => markOn(1, { why: "partial", at })) });
      await settle(journal);
      await journal.maintain();
      const page = await journal.quarantine.page({ class: "note" }, { limit: 500 });
      expect([page.length, page[0]?.at, page.at(-1)?.at]).toEqual([100, 129, 30]);
      expect(journal.quarantine.evicted).toEqual([{ class: "note", reason: "partial", items: 30 }]);
    });
  });

  describe("a redelivery", () => {
    test("replays delivered rows of a range, and keeps its progress over a restart", async () => {
      const journal = await state.open();
      for (const n of [1, 2, 3, 4]) await appendNumbers(journal, [n, n + 10], { receivedAt: n * 1000 });
      journal.progress({ cursor: cursorAt(4, 6), marks: [] });
      await settle(journal);
      const plan = await journal.planReplay({ since: 2000, until: 9000 }, 5);
      expect(plan).toMatchObject({ name: "replay", id: 5, untilSeq: 4, total: 4, cursor: { seq: 2 } });
      expect(journal.redelivery("replay")).toBeUndefined();
      await journal.beginRedelivery(plan);
      journal.progress({ redelivered: [{ name: "replay", id: 5, cursor: cursorAt(3, 2), taken: [], isOver: false }] });
      journal.progress({ redelivered: [{ name: "replay", id: 4, cursor: cursorAt(9, 9), taken: [], isOver: true }] });
      await journal.close();
      const again = await state.open();
      expect(again.redelivery("replay")).toEqual({ ...plan, cursor: cursorAt(3, 2) });
      again.progress({ redelivered: [{ name: "replay", id: 5, cursor: cursorAt(4, 4), taken: [], isOver: true }] });
      await settle(again);
      expect(again.redelivery("replay")?.endedAt).toBe(state.now);
      expect(await again.cancelRedelivery("replay")).toBe(false);
    });

    test("plans a retry from the row of the first dead letter, whatever the ids of dead letters", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      const first = [1, 2, 3].map((to) => markOn(1, { from: to - 1, to }));
      journal.progress({ cursor: cursorAt(2, 0, 3), marks: first });
      await settle(journal);
      expect(await journal.planRetry({ ids: ["m3"] }, 1)).toMatchObject({ untilSeq: 4, total: 1, cursor: { seq: 1 } });
    });

    test("retries dead letters: those accepted are removed, the others stay", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2, 3]);
      journal.progress({
        cursor: cursorAt(2, 0, 3),
        marks: [markOn(1, { to: 2 }), markOn(1, { why: "partial" }), markOn(1, { from: 2, to: 3 })],
      });
      await settle(journal);
      const plan = await journal.planRetry({}, 1);
      expect(plan).toMatchObject({ name: "retry", untilSeq: 4, total: 3, cursor: { seq: 1 } });
      await journal.beginRedelivery(plan);
      journal.progress({ redelivered: [{ name: "retry", id: 1, cursor: cursorAt(2, 2), taken: [1], isOver: false }] });
      journal.progress({ redelivered: [{ name: "retry", id: 1, cursor: cursorAt(4, 2, 1), taken: [], isOver: true }] });
      await settle(journal);
      expect((await journal.quarantine.page({}, { limit: 10 })).map(({ id }) => id)).toEqual(["m3", "m2"]);
      expect(journal.redelivery("retry")?.endedAt).toBe(state.now);
    });
  });

  test("a retry begins at the row of its first mark, whatever the numbers of marks", async () => {
    const journal = await state.open();
    for (const numbers of [[1, 2, 3], [4]]) await appendNumbers(journal, numbers);
    journal.progress({
      cursor: cursorAt(3, 0, 4),
      marks: [markOn(2), ...[0, 1, 2].map((from) => markOn(1, { from, to: from + 1 }))],
    });
    await settle(journal);
    const last = { ids: ["m4"] };
    expect(await journal.quarantine.page(last, { limit: 5 })).toMatchObject([{ id: "m4", seq: 1, from: 2 }]);
    expect(await journal.planRetry(last, 1)).toMatchObject({ total: 1, cursor: { seq: 1 }, untilSeq: 5 });
    expect(await journal.planRetry({}, 1)).toMatchObject({ total: 4, cursor: { seq: 1 }, untilSeq: 5 });
    expect(await journal.planRetry({ ids: ["m1"] }, 1)).toMatchObject({ total: 1, cursor: { seq: 2 }, untilSeq: 2 });
  });

  describe("space", () => {
    const noise = (length: number): string => {
      const bytes = new Uint8Array(length / 2);
      for (let at = 0; at < bytes.length; at += 32_768) crypto.getRandomValues(bytes.subarray(at, at + 32_768));
      return Buffer.from(bytes).toString("hex");
    };
    async function fill(journal: Journal, from: number): Promise<number> {
      for (let n = from; ; n++) {
        const part = partOf([n], { padding: noise(128 * 1024) });
        try {
          await journal.append(appendOf([part], { receivedAt: state.now }), noCallback);
        } catch (error) {
          expect(error).toBeInstanceOf(Unavailable);
          return n;
        }
      }
    }

    test("is refused when full, with the reason, until rows are delivered and measured", async () => {
      const journal = await state.open({ maxBytes: 32 * mebibyte });
      expect(journal.space.refusal).toBeUndefined();
      const next = await fill(journal, 0);
      expect(next).toBeGreaterThan(100);
      expect(journal.space.refusal).toContain("the journal is full");
      expect(journal.pendingRecords).toBe(next);
      expect(journal.wantsSnapshot).toBe(false);
      journal.progress({ cursor: cursorAt(next, next - 1), marks: [] });
      await settle(journal);
      expect(journal.wantsSnapshot).toBe(true);
      await journal.writeSnapshot({ measuredSeq: next, blobs: new Map() });
      await journal.maintain();
      expect(journal.space.refusal).toBeUndefined();
      expect((await numbersIn(journal)).length).toBeLessThan(10);
      expect(acceptedIn(await appendNumbers(journal, [next]))).toBe(1);
    });

    test("is used by dead letters up to a quarter: the oldest are evicted, counted and logged once", async () => {
      const journal = await state.open({ maxBytes: 32 * mebibyte });
      let next = 0;
      for (let round = 0; round < 4; round++) {
        next = await fill(journal, next);
        const marks = Array.from({ length: next }, (_, n) => markOn(n + 1)).filter(
          ({ seq }) => seq >= journal.cursor.seq,
        );
        journal.progress({ cursor: cursorAt(next + 1, 0, next), marks });
        await journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map() });
        for (let call = 0; call < 20; call++) await journal.maintain();
        expect(journal.space.refusal).toBeUndefined();
      }
      const kept = await numbersIn(journal);
      expect(kept.length).toBeGreaterThan(60);
      expect(kept.length).toBeLessThan(140);
      expect(kept.at(-1)).toBe(next - 1);
      expect(journal.quarantine.evicted).toEqual([
        { class: "dead_letter", reason: "rejected", items: next - kept.length },
      ]);
      expect(state.log.filter((line) => line.includes("dead letters take a quarter"))).toHaveLength(1);
    });

    test("is used by quarantined texts up to 64 MiB: the oldest are evicted", async () => {
      const journal = await state.open();
      /** Eight at a time, because a transaction for each would take longer than everything else. */
      for (let n = 0; n < 9; n++) {
        const quarantine = Array.from({ length: 8 }, () => quarantineOf([noise(mebibyte)]));
        await journal.append(appendOf([], { quarantine }), noCallback);
      }
      await journal.maintain();
      const [count] = await journal.quarantine.counts({});
      const evicted = journal.quarantine.evicted[0]?.items ?? 0;
      expect(count?.items).toBeGreaterThan(40);
      expect(evicted).toBeGreaterThan(0);
      expect((count?.items ?? 0) + evicted).toBe(72);
    });
  });
}
