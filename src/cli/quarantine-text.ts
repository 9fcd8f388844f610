/** What was set aside, in words and tables for a person. */
import type { KeptBack, ShownItem } from "../admin/kept-types.ts";
import { type ItemCount, quarantineClasses } from "../journal/quarantine-items.ts";
import { printable, tableText } from "./table.ts";
import type { Output } from "./terminal.ts";

const maxDetail = 80;

/** A table of items. */
export function listText(items: readonly ShownItem[], out: Output): string {
  const head = ["id", "class", "type", "reason", "at", "source", "detail"];
  const rows = items.map((item) => [
    String(item.id),
    item.class,
    item.type,
    item.reason,
    item.at,
    item.source,
    item.detail.length > maxDetail ? `${item.detail.slice(0, maxDetail)}…` : item.detail,
  ]);
  return tableText(head, rows, out);
}

/** How many there are, by class and reason. */
export function countsText(counts: readonly ItemCount[]): string {
  if (counts.length === 0) return "nothing is set aside\n";
  const sums = quarantineClasses.flatMap((itemClass) => {
    const ofClass = counts.filter((one) => one.class === itemClass);
    const items = ofClass.reduce((sum, one) => sum + one.items, 0);
    return items === 0
      ? []
      : [`${itemClass} ${items} (${ofClass.map((one) => `${one.reason} ${one.items}`).join(", ")})`];
  });
  return `${sums.join("; ")}\n`;
}

/** One item with its text. */
export function itemText({ text, isCut, ...item }: ShownItem): string {
  const head = Object.entries(item).map(([name, value]) => `${name.padEnd(7)} ${printable(String(value))}\n`);
  const remark = isCut === true ? "(only the beginning was kept)\n" : "";
  // A terminal must not be steered by what somebody has sent.
  // oxlint-disable-next-line no-control-regex
  const shown = text?.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "?");
  return `${head.join("")}\n${shown ?? "(the text is damaged)"}\n${remark}`;
}

/** Why items stay, a line each. */
export function keptText(kept: readonly KeptBack[]): string {
  return kept.map(({ id, why }) => `${id} stays: ${printable(why)}\n`).join("");
}

export function counted(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}
