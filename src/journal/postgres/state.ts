/** The leader's copy of the journal's state: read when its term begins, then changed only by its own commits. */
import { Unavailable } from "../../errors.ts";
import type { JournalIdentity, LogCursor } from "../journal.ts";
import { startOfJournal } from "../journal.ts";
import { blobPrefix, noLoss, type StoredDestination, type StoredLoss, type StoredValues } from "../stored.ts";
import type { Connection } from "./connection.ts";
import { type HeadRow, headColumns } from "./head.ts";
import { blobLiteral, textLiteral } from "./storage.ts";

/** A further destination. `begun`: the accepted count of its types when its counts began, so that nothing has to be added up. */
export interface CountedDestination extends StoredDestination {
  readonly begun?: number;
}

/** Values stored as JSON. */
export type Values = StoredValues & {
  /** The last row that is measured in the snapshot. */
  readonly measured: { readonly measuredSeq: number };
  /** Records accepted before the series began, which are not counted. */
  readonly begun: number;
} & Readonly<Record<`destination.${string}`, CountedDestination>>;

export type ValueName = keyof Values;

/** The changes of one transaction of the leader. They become visible in memory once it is committed. */
export class Change {
  readonly #s: string;
  readonly #state: State;
  readonly #changed = new Map<string, unknown>();
  readonly #statements: string[] = [];
  readonly #acts: (() => void)[] = [];

  constructor(state: State, schema: string) {
    this.#state = state;
    this.#s = schema;
  }

  get<Name extends ValueName>(name: Name): Values[Name] | undefined {
    return this.#changed.has(name) ? (this.#changed.get(name) as Values[Name] | undefined) : this.#state.get(name);
  }

  set<Name extends ValueName>(name: Name, value: Values[Name] | undefined): void {
    this.#changed.set(name, value);
  }

  setBlob(name: string, value: Uint8Array | undefined): void {
    this.#changed.set(name, value);
  }

  run(sql: string): void {
    this.#statements.push(sql);
  }

  afterwards(act: () => void): void {
    this.#acts.push(act);
  }

  get isEmpty(): boolean {
    return this.#changed.size + this.#statements.length === 0;
  }

  /** The statements that write all changes. */
  statements(): readonly string[] {
    const encoder = new TextEncoder();
    const bytesOf = (value: unknown): Uint8Array =>
      value instanceof Uint8Array ? value : encoder.encode(JSON.stringify(value));
    const rows: string[] = [];
    const gone: string[] = [];
    for (const [name, value] of this.#changed)
      if (value === undefined) gone.push(textLiteral(name));
      else rows.push(`(${textLiteral(name)}, ${blobLiteral(bytesOf(value))})`);
    const table = `${this.#s}.state`;
    const set = "ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    return [
      ...(gone.length > 0 ? [`DELETE FROM ${table} WHERE name IN (${gone.join(", ")})`] : []),
      ...(rows.length > 0 ? [`INSERT INTO ${table} (name, value) VALUES ${rows.join(", ")} ${set}`] : []),
      ...this.#statements,
    ];
  }

  /** Called once the change is committed. */
  apply(): void {
    for (const [name, value] of this.#changed) this.#state.put(name, value);
    for (const act of this.#acts) act();
  }
}

export class State {
  /** Includes blobs. */
  readonly #values = new Map<string, unknown>();

  get<Name extends ValueName>(name: Name): Values[Name] | undefined {
    return this.#values.get(name) as Values[Name] | undefined;
  }

  /** Sets a value that is already in the database. */
  put(name: string, value: unknown): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
  }

  blob(name: string): Uint8Array | undefined {
    return this.#values.get(name) as Uint8Array | undefined;
  }

  /** Names of values with that prefix, without the prefix. */
  named(prefix: string): readonly string[] {
    return [...this.#values.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  get identity(): JournalIdentity {
    const identity = this.get("identity");
    if (identity === undefined)
      throw new Unavailable(
        "the table state of the database has lost the journal's identity: restore it, or restart this instance, which makes a new one",
      );
    return identity;
  }

  get cursor(): LogCursor {
    return this.get("cursor") ?? startOfJournal;
  }

  get measuredSeq(): number {
    return this.get("measured")?.measuredSeq ?? 0;
  }

  get loss(): StoredLoss {
    return this.get("loss") ?? noLoss;
  }

  /** The snapshot's blobs, by name without prefix. */
  get snapshot(): ReadonlyMap<string, Uint8Array> {
    const names = this.named(blobPrefix).toSorted();
    return new Map(names.map((name) => [name, this.#values.get(blobPrefix + name) as Uint8Array]));
  }
}

/** Names whose values are not JSON, and names that only the database itself uses. */
const isBlob = /^(?:ledger|kept)\//;
const isForeign = /^(?:written|moved|accepted)$/;

/** Reads all stored values and the head, as of one moment. @throws {DatabaseError} */
export async function readState(
  connection: Connection,
  schema: string,
): Promise<{ readonly state: State; readonly head: HeadRow }> {
  const [rows, heads] = await connection.run<{ name: string; value: Uint8Array } & HeadRow>([
    `SELECT name, value FROM ${schema}.state`,
    `SELECT ${headColumns(schema)} FROM ${schema}.head`,
  ]);
  const state = new State();
  const decoder = new TextDecoder();
  for (const { name, value } of rows ?? [])
    if (!isForeign.test(name)) state.put(name, isBlob.test(name) ? value : JSON.parse(decoder.decode(value)));
  return { state, head: heads?.[0] as HeadRow };
}
