/**
 * Appends what arrives at this instance: several appends are judged, written and committed together, with one call of `append` at
 * a time.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import { attempt, type Logger } from "../../lib/logger.ts";
import type { Append, Committed } from "../batch.ts";
import { bytesOf, type Call, numbered, packCall, recordsOf } from "./call.ts";
import type { Connection, Database } from "./connection.ts";
import { DatabaseError, databaseErrorOf } from "./errors.ts";
import type { HeadRow, Heads } from "./head.ts";
import type { AppendKeys, HeldKeys } from "./keys.ts";

export interface TurnDeps {
  readonly database: Pick<Database, "failure">;
  /** Used by nothing else. */
  readonly connection: Connection;
  /** Quoted. */
  readonly schema: string;
  /** This instance's id among the members. */
  readonly member: string;
  readonly keys: AppendKeys;
  readonly heads: Heads;
  readonly logger: Logger;
  /** Why an append of that size is refused for lack of space, if it is. */
  readonly admit: (bytes: number) => string | undefined;
  /** Called with each commit, before any of its senders is answered. */
  readonly committed: (seconds: number) => void;
}

interface Waiting {
  readonly append: Append;
  readonly bytes: number;
  readonly committed: (committed: Committed) => void;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: Error) => void;
}

type Answer = Readonly<HeldKeys & HeadRow> & {
  readonly outcome: "done" | "known" | "gone" | "fenced" | "failed over";
  readonly last_seq: number;
};

/** Maximum size of one call, unless a single append is larger. */
const callBytes = 8 * 1024 * 1024;
const callRecords = 20_000;

/** Maximum bytes of waiting appends. */
const waitingBytes = 64 * 1024 * 1024;

/** How long a database may be unavailable before appends are refused instead of waiting, and the pause between two tries. */
const patienceMs = 4000;
const pauseMs = 100;

/** How long a refusal by the database is shown: if it keeps appends from being sent, nothing else would end it. */
const refusedMs = 10_000;

/** How often an append is judged again because others had the same keys, or repeated because the database asked for it. */
const maxRounds = 20;

export class Turn {
  readonly #deps: TurnDeps;
  readonly #sql: { readonly append: string; readonly lookUp: string };
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | undefined;
  #number = 0;
  /** The history to which the remembered keys belong. */
  #history: string;
  #isClosed = false;
  /** Set while this instance leads, because only the leader polls and retries. */
  fence: number | undefined;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
    this.#history = deps.heads.current.history;
    const s = deps.schema;
    this.#sql = {
      append: `SELECT * FROM ${s}.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
      lookUp: `SELECT * FROM ${s}.look_up($1, $2, $3, $4)`,
    };
  }

  /** Resolves with the commit. @throws {Unavailable} if nothing was committed, or it is unknown. */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed> {
    const bytes = bytesOf(append);
    const refusal = this.#isClosed
      ? "the journal is closed"
      : this.#waitingBytes + bytes > waitingBytes
        ? "the database is slower than what arrives"
        : (this.#hopeless() ?? this.#deps.admit(this.#waitingBytes + bytes));
    if (refusal !== undefined) return Promise.reject(new Unavailable(refusal));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, bytes, committed, resolve, reject });
      this.#waitingBytes += bytes;
      this.#running ??= this.#run();
    });
  }

  /** Why the database refuses appends, if that was its last answer and is recent. */
  get refusal(): string | undefined {
    const { refused } = this.#deps.connection;
    return refused !== undefined && performance.now() - refused.at < refusedMs ? refused.reason : undefined;
  }

  /** Commits what is waiting. Nothing more is accepted. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    this.#deps.connection.close();
  }

  /** Begins once everything that arrives in the same moment is waiting. */
  async #run(): Promise<void> {
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const group = this.#take();
      const failure = await this.#commit(group);
      if (failure === undefined) continue;
      if (failure.kind !== "statement" || group.length === 1) {
        for (const { reject } of group) reject(unavailable(failure));
        // Appends waiting behind them would wait as long for the same answer.
        if (failure.kind === "away") for (const { reject } of this.#takeAll()) reject(unavailable(failure));
        continue;
      }
      // One of them is at fault, and the others should not fail with it.
      for (const one of group) {
        const own = await this.#commit([one]);
        if (own !== undefined) one.reject(unavailable(own));
      }
    }
    this.#running = undefined;
  }

  #takeAll(): Waiting[] {
    const all = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return all;
  }

  /** Takes the appends that share the next call. A retry is alone, so that only it fails if its line is gone. */
  #take(): Waiting[] {
    const group: Waiting[] = [];
    let [bytes, records] = [0, 0];
    for (const one of this.#waiting) {
      bytes += one.bytes;
      records += recordsOf(one.append);
      const isAlone = one.append.retries !== undefined || group[0]?.append.retries !== undefined;
      if (group.length > 0 && (isAlone || bytes > callBytes || records > callRecords)) break;
      group.push(one);
    }
    this.#waiting.splice(0, group.length);
    for (const one of group) this.#waitingBytes -= one.bytes;
    return group;
  }

  /** Returns why nothing was written, or that it is unknown. Never throws. */
  async #commit(group: readonly Waiting[]): Promise<DatabaseError | undefined> {
    const { keys, heads, logger, committed: noted } = this.#deps;
    const startedAt = performance.now();
    try {
      for (let round = 0; round < maxRounds; round++) {
        if (round === 0) await this.#lookUp(group, startedAt);
        const call = packCall(
          group.map(({ append }) => append),
          keys,
        );
        const answer = await this.#send(call, startedAt);
        if (answer.outcome === "known") {
          keys.learn(answer);
          continue;
        }
        if (answer.outcome === "failed over") {
          // Remembered keys may be lost with the commits that wrote them.
          keys.forget();
          this.#history = answer.history;
          heads.see(answer);
          continue;
        }
        if (answer.outcome !== "done") {
          keys.clear();
          return new DatabaseError(refusals[answer.outcome](call), "conflict");
        }
        keys.committed();
        const before = answer.last_seq - call.rows.length;
        const written = call.written.map((one) => numbered(one, before));
        heads.see(answer);
        const tell = (act: () => void) => attempt("a committed batch could not be counted", logger, act);
        tell(() => noted((performance.now() - startedAt) / 1000));
        group.forEach(({ committed }, place) => tell(() => committed(written[place] as Committed)));
        group.forEach(({ resolve }, place) => resolve(written[place] as Committed));
        return undefined;
      }
      return new DatabaseError("other instances append the same records at the same time", "conflict");
    } catch (error) {
      keys.clear();
      return error instanceof DatabaseError ? error : databaseErrorOf(error, "the journal");
    }
  }

  async #send(call: Call, startedAt: number): Promise<Answer> {
    const { keys, rows, bodies, polls, retries } = call;
    if (call.isLeaders && this.fence === undefined)
      throw new DatabaseError("this instance does not lead: another one polls and retries", "conflict");
    const number = ++this.#number;
    const [answer] = await this.#repeated<Answer>(startedAt, this.#sql.append, [
      this.#deps.member,
      number,
      call.isLeaders ? this.fence : null,
      this.#history,
      keys.flowDays,
      keys.flowKeys,
      keys.flowChanges,
      keys.keyDays,
      keys.otherKeys,
      keys.otherGroups,
      JSON.stringify(rows),
      bodies,
      polls,
      retries?.seq ?? null,
      retries?.line ?? null,
    ]);
    return answer as Answer;
  }

  /** Looks up keys that the database is likely to have: those of polls, and the facts of events, any of which may be known. */
  async #lookUp(group: readonly Waiting[], startedAt: number): Promise<void> {
    const { keys } = this.#deps;
    let isWanted = false;
    keys.clear();
    for (const { append } of group) {
      const isPolled = append.source === "poll";
      keys.expect(append.parts);
      for (const { type, keys: words, facts = [], keysAt } of append.parts) {
        if (isPolled) keys.ask(type, words, keysAt);
        const wanted = type === "webhook" ? facts.filter((fact) => fact !== undefined) : [];
        for (const fact of wanted) keys.ask("webhook", fact, keysAt);
        isWanted ||= isPolled || wanted.length > 0;
      }
    }
    if (!isWanted) return;
    const { flowDays, flowKeys, otherKeys, otherGroups } = keys.pack();
    const [held] = await this.#repeated<HeldKeys>(startedAt, this.#sql.lookUp, [
      flowDays,
      flowKeys,
      otherKeys,
      otherGroups,
    ]);
    if (held !== undefined) keys.learn(held);
  }

  /** Repeats a statement while the database is unavailable or requests a retry. An `append` with its number is written once. */
  async #repeated<Row extends object>(startedAt: number, sql: string, values: readonly unknown[]): Promise<Row[]> {
    for (let conflicts = 0; ;) {
      try {
        return await this.#deps.connection.query<Row>(sql, values);
      } catch (cause) {
        const error = databaseErrorOf(cause, "the database");
        if (error.kind === "conflict" && ++conflicts < maxRounds) continue;
        const since = Math.min(startedAt, this.#deps.connection.refused?.since ?? startedAt);
        const isLate = this.#hopeless() !== undefined || performance.now() - since > patienceMs;
        if (error.kind !== "away" || isLate || this.#isClosed) throw error;
        await delay(pauseMs);
      }
    }
  }

  /** Why nothing waits for the database, if it has been unavailable for too long. Periodic queries detect when it is back. */
  #hopeless(): string | undefined {
    const { failure } = this.#deps.database;
    if (failure === undefined || performance.now() - failure.since < patienceMs) return undefined;
    return `the journal cannot be written: ${failure.reason}`;
  }
}

const refusals = {
  gone: ({ retries }: Call) => `the quarantined line ${retries?.seq}.${retries?.line} is gone`,
  fenced: () => "another instance leads",
} as const;

function unavailable(error: DatabaseError): Unavailable {
  return new Unavailable(`the journal cannot be written: ${error.message}`);
}
