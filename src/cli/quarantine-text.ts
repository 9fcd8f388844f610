/** Quarantined records, samples, notes and dead letters as tables and sentences for a person. */
import { printable, tableText } from "./table.ts";
import type { Output } from "./terminal.ts";
import { type ItemCount, itemClasses, type ItemWithTexts, type KeptItem, type ShownItem } from "../admin/kept-types.ts";

const maxDetail = 80;

/** A table of items. */
export function listText(items: readonly ShownItem[], out: Output): string {
  const head = ["id", "class", "type", "reason", "records", "at", "source", "detail"];
  const rows = items.map((item) => [
    item.id,
    item.class,
    item.type,
    item.reason,
    String(item.records),
    item.at,
    item.source,
    item.detail.length > maxDetail ? `${item.detail.slice(0, maxDetail)}…` : item.detail,
  ]);
  return tableText(head, rows, out);
}

/** How many there are, by class and reason, on one line. */
export function countsText(counts: readonly ItemCount[]): string {
  if (counts.length === 0) return "no items\n";
  const sums = itemClasses.flatMap((itemClass) => {
    const ofClass = counts.filter((one) => one.class === itemClass).toSorted((a, b) => (a.reason < b.reason ? -1 : 1));
    const items = ofClass.reduce((sum, one) => sum + one.items, 0);
    return items === 0
      ? []
      : [`${itemClass} ${items} (${ofClass.map((one) => `${one.reason} ${one.items}`).join(", ")})`];
  });
  return `${sums.join("; ")}\n`;
}

/** One item: its members, and then its texts. */
export function itemText(item: ItemWithTexts): string {
  const { texts, isCut: _, row, line, records, ...members } = item;
  const last = line + records - 1;
  const place = last > line ? `lines ${line} to ${last}` : `line ${line}`;
  const named = { ...members, records: `${records} (row ${row} of the journal, ${place})` };
  const head = Object.entries(named).map(([name, value]) => `${name.padEnd(7)} ${printable(value)}\n`);
  const shown = texts.length === 0 ? "(the text is damaged)" : texts.map(harmless).join("\n");
  return `${head.join("")}\n${shown}\n${remarkOn(item)}`;
}

/** Why items are kept, one per line. */
export function keptText(kept: readonly KeptItem[]): string {
  return kept.map(({ id, why }) => `${id} kept: ${printable(why)}\n`).join("");
}

export function counted(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

function remarkOn({ texts, isCut, records }: ItemWithTexts): string {
  if (!isCut) return "";
  return records > texts.length
    ? `(the first ${texts.length} of ${records} records)\n`
    : "(only the beginning of the text was stored)\n";
}

/** A sender's text must not control the terminal; its tabs and line breaks do no harm. */
function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "?");
}
