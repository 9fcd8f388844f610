/** Journals over PostgreSQL for tests, each in its own schema. */
import { quoted } from "../../src/journal/postgres/schema.ts";
import type { AppendingJournal, Journal } from "../../src/journal/index.ts";
import { openPostgresJournal } from "../../src/journal/postgres/index.ts";
import type { Cluster } from "../support/postgres/cluster.ts";
import { configOf, depsOf, newState, type TestSettings, type TestState } from "./support.ts";

export interface PostgresState extends TestState {
  readonly schema: string;
  open(settings?: TestSettings): Promise<Journal>;
  /** Opens it as one instance among others. */
  join(settings?: TestSettings): Promise<AppendingJournal>;
}

let schemas = 0;

export function createPostgresState(cluster: Cluster, port = cluster.port): PostgresState {
  const opened: AppendingJournal[] = [];
  const schema = `contract_${++schemas}`;
  const ending = new AbortController();
  const state: PostgresState = {
    ...newState(),
    leavesByDay: true,
    async holds(_, keyClass, key) {
      const s = quoted(schema);
      const [table, where] = keyClass === "flow" ? ["flow_key", ""] : ["other_key", `AND class = '${keyClass}'`];
      const hex = Buffer.from(key.buffer, key.byteOffset, 12).toString("hex");
      const sql = `SELECT EXISTS (SELECT FROM ${s}.${table} WHERE key = '\\x${hex}' ${where}) AS held`;
      return (await cluster.query<{ held: boolean }>(sql))[0]?.held === true;
    },
    schema,
    async join(settings = {}) {
      const config = configOf(settings);
      const url = cluster.url("postgres", port);
      const journal = await openPostgresJournal(
        { ...config, state: { ...config.state, url, schema, lease: 30_000 } },
        depsOf(state),
      );
      opened.push(journal);
      return journal;
    },
    async open(settings) {
      const journal = await state.join(settings);
      return journal.lead(ending.signal);
    },
    async remove() {
      ending.abort();
      for (const journal of opened) await journal.close();
      await cluster.query(`DROP SCHEMA IF EXISTS ${quoted(schema)} CASCADE`);
    },
  };
  return state;
}
