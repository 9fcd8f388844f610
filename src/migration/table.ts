/** The mapping table from every setting of the Go program to its equivalent here; `docs/moving.md` is generated from it. */
import { nearest } from "../lib/text.ts";
import { goBoolean, goText } from "./go-values.ts";
import type { GoSettings, Mapping } from "./mapping.ts";
import type { GoGivens } from "./source.ts";
import { inputRows } from "./table-inputs.ts";
import { outputRows } from "./table-outputs.ts";

export const rows: readonly Mapping[] = [...inputRows, ...outputRows];

const byKey: ReadonlyMap<string, Mapping> = new Map(rows.map((row) => [row.from, row]));

/** The row of a setting: its own, or that of the nearest enclosing section. */
export function rowOf(key: string): Mapping | undefined {
  const own = byKey.get(key);
  if (own !== undefined) return own;
  for (let dot = key.lastIndexOf("."); dot > 0; dot = key.lastIndexOf(".", dot - 1)) {
    const section = byKey.get(`${key.slice(0, dot)}.*`);
    if (section !== undefined) return section;
  }
  return undefined;
}

/** True if the value of a setting is a table of texts. */
export function isTable(key: string): boolean {
  return /^(?:otlp(?:\.\w+)?\.headers|resource\.attributes|profiling\.pyroscope\.(?:tags|headers))$/.test(key);
}

/** A setting of the Go program with a similar name. */
export function similarKey(key: string): string | undefined {
  return nearest(key, byKey.keys());
}

export function settingsOf(givens: GoGivens): GoSettings {
  const valueOf = (key: string): unknown => givens.get(key)?.value ?? rowOf(key)?.initial;
  return {
    given: (key) => givens.get(key)?.value,
    text: (key) => goText(valueOf(key)) ?? "",
    isOn: (key) => goBoolean(valueOf(key)) === true,
  };
}
