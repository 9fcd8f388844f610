/** The quarantine filter in the page's address, and the selections that a retry of all matching items sends. */
import type { ItemList, ItemQuery, Selection } from "../../admin/operations.ts";
import { classes, isRetryable, type ItemClass, itemsOf } from "./words.ts";

export type QuarantineFilterOf = Pick<ItemQuery, "class" | "reason" | "type" | "destination">;

export const itemClasses = Object.keys(classes) as readonly ItemClass[];
export const itemTypes = ["flow", "audit", "webhook", "unknown"] as const;

/** Reads the filter from the address, which anybody can edit; unknown values are ignored. */
export function chosenFilter(parameters: Readonly<Record<string, string>>): QuarantineFilterOf {
  const { class: wantedClass, type: wantedType, reason, destination } = parameters;
  const itemClass = itemClasses.find((name) => name === wantedClass);
  const type = itemTypes.find((name) => name === wantedType);
  return {
    ...(itemClass === undefined ? {} : { class: itemClass }),
    ...(type === undefined ? {} : { type }),
    ...(reason === undefined || reason === "" ? {} : { reason }),
    ...(destination === undefined || destination === "" ? {} : { destination }),
  };
}

/** One selection per retryable class that has items. */
export function retriesOf(filter: QuarantineFilterOf, counts: ItemList["counts"]): readonly Selection[] {
  return itemClasses
    .filter(isRetryable)
    .filter((itemClass) => (filter.class ?? itemClass) === itemClass && itemsOf(counts, itemClass) > 0)
    .map((itemClass) => ({ ...filter, class: itemClass }));
}

/** The reasons to choose from: those that occur, and the chosen one. */
export function reasonsIn(counts: ItemList["counts"], chosen: string | undefined): readonly string[] {
  const all = [...counts.map(({ reason }) => reason), ...(chosen === undefined ? [] : [chosen])];
  return [...new Set(all)].toSorted();
}

/** The destinations to choose from, including the chosen one, which may no longer exist. */
export function destinationsIn(further: readonly string[], chosen: string | undefined): readonly string[] {
  return [...new Set(["primary", ...further, ...(chosen === undefined ? [] : [chosen])])];
}
