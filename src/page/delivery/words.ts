/** Texts of the view *Delivery* that the command line does not have: classes, reasons, certificates, and what a deletion loses. */
import type { DestinationStatus } from "../../admin/destinations.ts";
import type { ItemList, ShownItem } from "../../admin/operations.ts";
import type { SignalHealth } from "../../admin/status.ts";
import { printable } from "../../lib/text.ts";
import { counted } from "../format.ts";

export type ItemClass = ShownItem["class"];

/** A state, shown by color and mark; `off` means not used here. */
export type Level = "ok" | "warn" | "bad" | "off";

export const classes: Readonly<Record<ItemClass, { readonly title: string; readonly meaning: string }>> = {
  invalid: { title: "Invalid", meaning: "cannot be decoded or contradicts itself; never accepted" },
  sample: { title: "Sample", meaning: "a value of an unknown kind; never accepted" },
  note: { title: "Note", meaning: "accepted, but rejected in part by the backend, or not in the counters" },
  dead_letter: { title: "Dead letter", meaning: "accepted, but rejected by the backend" },
};

const reasons: Readonly<Record<string, string>> = {
  decode_error: "a member is missing or has the wrong type",
  negative_counters: "a counter is negative",
  oversized_counters: "a counter is impossibly large",
  inverted_window: "the window ends before it starts",
  invalid_endpoint: "no entry has valid addresses",
  invalid_protocol: "no entry has a valid protocol",
  invalid_entry: "no entry is valid",
  measure_failed: "it could not be counted",
  unclassified: "neither a flow nor an audit record",
  rejected: "the backend rejected it (400 or 422)",
  too_large: "it is too large for the backend (413)",
  failing: "its request failed for minutes while others were accepted",
  internal: "the program could not export it",
  partial: "the backend accepted only a part of it",
  unmeasured: "delivered, but not in the counters",
};

/** A reason in words; one from another version is shown as it is. */
export function reasonText(reason: string): string {
  return Object.hasOwn(reasons, reason) ? (reasons[reason] ?? reason) : printable(reason.slice(0, 60));
}

/** True if items of the class can be retried. */
export function isRetryable(itemClass: ItemClass): itemClass is "invalid" | "dead_letter" {
  return itemClass === "invalid" || itemClass === "dead_letter";
}

/** The number of items, of one class or of all. */
export function itemsOf(counts: ItemList["counts"], itemClass?: ItemClass): number {
  return counts
    .filter((one) => itemClass === undefined || one.class === itemClass)
    .reduce((sum, { items }) => sum + items, 0);
}

/** What is lost if all counted items are deleted, as one sentence per class. */
export function lossOf(counts: ItemList["counts"], deadLetters: "keep" | "delete"): readonly string[] {
  const sentences: Readonly<Record<ItemClass, (items: number) => string>> = {
    dead_letter: (items) =>
      deadLetters === "delete"
        ? `${counted(items, "dead letter")}: accepted records that exist nowhere else. They can never be delivered then.`
        : `Not deleted: ${counted(items, "dead letter")}, accepted records that exist nowhere else.`,
    invalid: (items) =>
      `${counted(items, "invalid record")}: never accepted, and without their text they cannot be retried.`,
    note: (items) => `${counted(items, "note")}: the records themselves were delivered or stay.`,
    sample: (items) => `${counted(items, "sample")} of unknown kinds.`,
  };
  return (["dead_letter", "invalid", "note", "sample"] as const).flatMap((itemClass) => {
    const items = itemsOf(counts, itemClass);
    return items === 0 ? [] : [sentences[itemClass](items)];
  });
}

/** The state of a signal's export. */
export function levelOf({ kind, why, leftOut = 0 }: SignalHealth): Level {
  if (why !== undefined) return kind === "refusing" || kind === "dead" ? "bad" : "warn";
  if (leftOut > 0) return "warn";
  return kind === "local" || kind === "disabled" ? "off" : "ok";
}

/** The worst level of a destination's signals. */
export function levelOfDestination({ export: of }: Pick<DestinationStatus, "export">): Level {
  const levels = of === undefined ? [] : [levelOf(of.logs), levelOf(of.metrics)];
  return (["bad", "warn", "ok"] as const).find((level) => levels.includes(level)) ?? "off";
}

const dayMs = 86_400_000;
const warnedDays = 14;

/** The remaining validity of a certificate. */
export function certificateText(notAfter: string, now: number): { readonly level: Level; readonly text: string } {
  const days = (Date.parse(notAfter) - now) / dayMs;
  if (days < 0) return { level: "bad", text: `expired ${counted(Math.ceil(-days), "day")} ago` };
  const text = `valid for ${counted(Math.floor(days), "day")}`;
  return { level: days < warnedDays ? "warn" : "ok", text };
}
