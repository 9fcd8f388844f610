/** Walks a damaged table by its key, over what cannot be read. */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";

export interface Stretch {
  readonly table: "journal" | "keys" | "quarantine";
  /** The integer primary key's column. */
  readonly key: "seq" | "id";
  readonly from: number;
  /** Keys beyond are no keys. */
  readonly to: number;
}

export type ReadableRow = Readonly<Record<string, SQLOutputValue>>;

const maxStep = 2 ** 50;

/**
 * The rows that can be read, in the order of their keys. Where one cannot, the next is looked for further on, in steps
 * that double, and then back: damaged pages hold neighbours.
 */
export function* readableRows(database: DatabaseSync, { table, key, from, to }: Stretch): Generator<ReadableRow> {
  let next: ReturnType<DatabaseSync["prepare"]>;
  try {
    next = database.prepare(`SELECT * FROM ${table} WHERE ${key} >= ? ORDER BY ${key} LIMIT 1`);
  } catch {
    return;
  }
  const at = (wanted: number): ReadableRow | "end" | "unreadable" => {
    if (wanted > to) return "end";
    try {
      const row = next.get(wanted);
      if (row === undefined) return "end";
      const found = row[key];
      return typeof found === "number" && found >= wanted && found <= to ? row : "unreadable";
    } catch {
      return "unreadable";
    }
  };
  const afterGap = (unreadable: number): number => {
    let before = unreadable;
    let step = 1;
    while (step < maxStep && at(unreadable + step) === "unreadable") {
      before = unreadable + step;
      step *= 2;
    }
    let after = unreadable + step;
    while (after - before > 1) {
      const middle = before + Math.floor((after - before) / 2);
      if (at(middle) === "unreadable") before = middle;
      else after = middle;
    }
    return after;
  };
  let wanted = from;
  while (true) {
    const row = at(wanted);
    if (row === "end") return;
    if (row === "unreadable") {
      wanted = afterGap(wanted);
      if (wanted - from >= maxStep) return;
      continue;
    }
    yield row;
    wanted = (row[key] as number) + 1;
  }
}
