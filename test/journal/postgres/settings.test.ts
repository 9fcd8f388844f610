/** Tests that the journal is unaffected by an administrator's settings for its role. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openPostgresJournal } from "../../../src/journal/postgres/index.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs } from "../../support/wait.ts";
import {
  acceptedIn,
  appendNumbers,
  appendOf,
  configOf,
  cursorAt,
  depsOf,
  markOn,
  newState,
  partOf,
} from "../support.ts";
import { numbersIn, quarantineOf } from "../support.ts";

const odd = {
  default_transaction_isolation: "serializable",
  standard_conforming_strings: "off",
  backslash_quote: "on",
  bytea_output: "escape",
  search_path: "nowhere",
  statement_timeout: "5s",
  lock_timeout: "1s",
  idle_in_transaction_session_timeout: "1s",
  DateStyle: "German",
  IntervalStyle: "sql_standard",
  TimeZone: "Pacific/Kiritimati",
  extra_float_digits: "-15",
  xmloption: "document",
  client_min_messages: "debug1",
};

describe.skipIf(!canHavePostgres)("a journal whose role has odd settings", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.query("CREATE ROLE odd LOGIN PASSWORD 'odd-word'");
    await cluster.query("CREATE SCHEMA odd AUTHORIZATION odd");
    for (const [name, value] of Object.entries(odd)) await cluster.query(`ALTER ROLE odd SET ${name} = '${value}'`);
  }, timeoutMs);
  afterAll(() => cluster.end());

  test(
    "accepts from several instances, leads, keeps any text, and continues in a new term",
    async () => {
      const state = newState();
      const config = configOf({});
      const url = cluster.url().replace(/:\/\/[^@]*@/, "://odd:odd-word@");
      const join = () =>
        openPostgresJournal(
          { ...config, state: { ...config.state, url, schema: "odd", lease: 30_000 } },
          depsOf(state),
        );
      const [first, second] = [await join(), await join()];
      const forever = new AbortController().signal;
      const led = await first.lead(forever);
      const list = Array.from({ length: 100 }, (_, n) => n);
      const answers = await Promise.all(
        [first, second].flatMap((one) =>
          [0, 1, 2, 3].map((part) => appendNumbers(one, list.slice(part * 20, part * 20 + 40))),
        ),
      );
      expect(answers.reduce((sum, answer) => sum + acceptedIn(answer), 0)).toBe(100);
      const text = `it's \\x00 "quoted" $1 ☃ \\u0000`;
      await second.append(
        appendOf([partOf([200], { type: "audit" })], { quarantine: [quarantineOf([text])] }),
        () => undefined,
      );
      const { seq } = (await led.openReader().heads(1, 1))[0] as { seq: number };
      led.progress({ cursor: cursorAt(2, 0, 1), marks: [markOn(seq, { message: `it's \\ "x" ☃ \0 \ud800` })] });
      await led.writeSnapshot({ measuredSeq: 1, blobs: new Map([["a'\\b", Uint8Array.of(0, 39, 92, 255)]]) });
      await led.maintain();
      await led.release();
      const next = await second.lead(forever);
      expect((await numbersIn(next)).length).toBe(101);
      expect([...(next.readSnapshot().blobs.get("a'\\b") ?? [])]).toEqual([0, 39, 92, 255]);
      const items = await next.quarantine.page({}, { limit: 10 });
      expect(items.map(({ detail }) => detail)).toEqual([`about ${text}`, `it's \\ "x" ☃ \uFFFD \uFFFD`]);
      expect(await next.quarantine.remove(items.map(({ id }) => id))).toBe(2);
      await Promise.all([first.close(), second.close()]);
    },
    timeoutMs,
  );

  test(
    "continues in a schema that was renamed",
    async () => {
      for (const name of ["before", "user"]) await cluster.query(`DROP SCHEMA IF EXISTS "${name}" CASCADE`);
      const state = newState();
      const config = configOf({});
      const open = async (schema: string) => {
        const settings = { ...config.state, url: cluster.url(), schema };
        const journal = await openPostgresJournal({ ...config, state: settings }, depsOf(state));
        return { journal, led: await journal.lead(new AbortController().signal) };
      };
      const first = await open("before");
      await appendNumbers(first.journal, [1]);
      await first.led.writeSnapshot({ measuredSeq: 1, blobs: new Map() });
      await first.journal.close();
      await cluster.query('ALTER SCHEMA before RENAME TO "user"');
      for (const numbers of [[1, 2], [3]]) {
        const { journal, led } = await open("user");
        expect(acceptedIn(await appendNumbers(journal, numbers))).toBe(1);
        led.progress({ cursor: cursorAt(2, 0, 0), marks: [] });
        await led.writeSnapshot({ measuredSeq: 1, blobs: new Map() });
        await led.maintain();
        await journal.close();
      }
    },
    timeoutMs,
  );
});
