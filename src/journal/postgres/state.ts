/** What the leader knows of the journal's state: read when its term begins, changed by what it has committed alone. */
import { Unavailable } from "../../errors.ts";
import type { JournalIdentity, LogCursor } from "../journal.ts";
import { startOfJournal } from "../journal.ts";
import { blobPrefix, noLoss, type StoredDestination, type StoredLoss, type StoredValues } from "../stored.ts";
import type { Connection } from "./connection.ts";
import { type HeadRow, headColumns } from "./head.ts";
import { blobLiteral, textLiteral } from "./storage.ts";

/** A further destination: what its types had been accepted when its counts began, so that nothing has to be added up. */
export interface CountedDestination extends StoredDestination {
  readonly begun?: number;
}

/** Values that are JSON. */
export type Values = StoredValues & {
  /** The last row that is measured in the snapshot. */
  readonly measured: { readonly measuredSeq: number };
  /** Records that had been accepted when the series began: those that are not counted. */
  readonly begun: number;
} & Readonly<Record<`destination.${string}`, CountedDestination>>;

export type ValueName = keyof Values;

/** What one transaction of the leader changes. Memory shows it once it is committed. */
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

  /** Statements that write all of it. */
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

  /** It is committed. */
  apply(): void {
    for (const [name, value] of this.#changed) this.#state.put(name, value);
    for (const act of this.#acts) act();
  }
}

export class State {
  /** Blobs among them. */
  readonly #values = new Map<string, unknown>();

  get<Name extends ValueName>(name: Name): Values[Name] | undefined {
    return this.#values.get(name) as Values[Name] | undefined;
  }

  /** What is in the database already. */
  put(name: string, value: unknown): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
  }

  blob(name: string): Uint8Array | undefined {
    return this.#values.get(name) as Uint8Array | undefined;
  }

  /** Names of values that begin so, with what follows. */
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

  /** The snapshot's blobs, by their own names. */
  get snapshot(): ReadonlyMap<string, Uint8Array> {
    const names = this.named(blobPrefix).toSorted();
    return new Map(names.map((name) => [name, this.#values.get(blobPrefix + name) as Uint8Array]));
  }
}

/** Names whose values are not JSON; and what only the database itself looks at. */
const isBlob = /^(?:ledger|kept)\//;
const isForeign = /^(?:written|moved|accepted)$/;

/** All that is stored, and the head, as of one moment. @throws {DatabaseError} */
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
