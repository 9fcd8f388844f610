/** The `quarantine` commands: list, show, retry and purge quarantined records and dead letters. */
import { itemClasses, type ItemList, itemTypes, type ItemWithTexts, maxListed } from "../admin/operations.ts";
import type { RetryReport, Selection } from "../admin/operations.ts";
import { isItemId } from "../admin/requests.ts";
import type { QuarantineFilter } from "../journal/index.ts";
import { printable } from "../lib/text.ts";
import { type Command, command } from "./command.ts";
import { instantOf, option, toggle, UsageError, wholeNumberOf } from "./flags.ts";
import { type Instance, instanceFlags, withInstance } from "./instance.ts";
import { redeliveryText } from "../screen/status-text.ts";
import { counted, type Output, printableLines, tableText } from "./terminal.ts";

const filterFlags = {
  class: { type: "enum" as const, options: [...itemClasses], description: "Only items of this class." },
  reason: option("word", "Only items with this reason."),
  type: { type: "enum" as const, options: [...itemTypes], description: "Only items with this type of record." },
  destination: option("name", "Only dead letters and notes of this destination; primary is the one of [otlp]."),
};

const ids = {
  type: "positional",
  required: false,
  description: "Ids of items, as quarantine list shows them.",
} as const;

const list: Command = command({
  name: "quarantine list",
  description: "List quarantined records, samples, notes and dead letters, newest first",
  args: {
    ...instanceFlags,
    ...filterFlags,
    limit: option("number", `Maximum number of items, up to ${maxListed}. (Default: 50)`),
  },
  examples: [
    ["tailscale2otel quarantine list", "all items"],
    ["tailscale2otel quarantine list --class dead_letter --json", "for scripts"],
  ],
  notes:
    "Classes: invalid (a record that was never accepted), sample (a value of an unknown kind), note (records that were delivered in part or not counted), dead_letter (accepted records that the backend rejected).",
  run({ args, sources, host }) {
    const limit = args.limit === undefined ? 50 : wholeNumberOf(args.limit, "--limit", [1, maxListed]);
    return withInstance({ args, sources, host }, async ({ operations }) => {
      const { items, counts } = await operations.list({ ...filterOf(args), limit });
      const sums = countsText(counts);
      const text = items.length === 0 ? `${sums}\n` : `${listText(items, host.out)}\n${sums}\n`;
      return args.json === true ? { text, json: items, remark: sums } : { text, json: items };
    });
  },
});

const show: Command = command({
  name: "quarantine show",
  description: "Show one item with its text",
  args: { ...instanceFlags, id: { type: "positional", description: "Id of the item, as quarantine list shows it." } },
  examples: [["tailscale2otel quarantine show 17.0", ""]],
  notes: "What the privacy settings hide is hidden here too. Only the first 100 records of a dead letter are shown.",
  run({ args, sources, host }) {
    const id = idOf(String(args.id));
    return withInstance({ args, sources, host }, async ({ operations }) => {
      const item = await operations.show(id);
      return { text: itemText(item), json: item };
    });
  },
});

const retry: Command = command({
  name: "quarantine retry",
  description: "Retry quarantined records, and export dead letters again",
  args: {
    ...instanceFlags,
    ...filterFlags,
    cancel: toggle("Cancel the retry of dead letters that is in progress."),
    ids,
  },
  examples: [
    ["tailscale2otel quarantine retry 17.0 m4", "these items"],
    ["tailscale2otel quarantine retry --class invalid --reason decode_error", "all with this reason"],
    ["tailscale2otel quarantine retry --class dead_letter", "all that the backend rejected"],
    ["tailscale2otel quarantine retry --cancel", ""],
  ],
  notes:
    "A record that is still invalid stays in quarantine, and so does a dead letter that is rejected again. Samples and notes cannot be retried. While no instance runs, dead letters are queued for the next run. Exit code 1 if an item stays in quarantine or does not exist.",
  run({ args, sources, host }) {
    if (args.cancel === true) return cancelRetry({ args, sources, host });
    const selection = selectionOf(args, "--class or --cancel");
    return withInstance({ args, sources, host }, async ({ operations, isRunning }) => {
      const sums = { accepted: 0, duplicate: 0, queued: 0, kept: 0 };
      const items: RetryReport["kept"][number][] = [];
      const missing: string[] = [];
      let beforeId: string | undefined;
      do {
        const page = await operations.retry({ ...selection, ...(beforeId === undefined ? {} : { beforeId }) });
        sums.accepted += page.accepted;
        sums.duplicate += page.duplicate;
        sums.queued += page.queued;
        sums.kept += page.kept.length;
        items.push(...page.kept.slice(0, maxListed - items.length));
        missing.push(...page.missing);
        beforeId = page.nextBeforeId;
      } while (beforeId !== undefined);
      const queued = isRunning ? "queued for export; see tailscale2otel status" : "queued for export by the next run";
      const retried = sums.accepted + sums.duplicate + sums.kept;
      const lines = [
        ...items.map(({ id, why }) => `${id} stays in quarantine: ${printable(why)}`),
        ...missing.map((id) => `there is no item ${id}`),
        ...(retried === 0 && sums.queued + missing.length > 0
          ? []
          : [`${sums.accepted} accepted, ${sums.duplicate} duplicate, ${sums.kept} still in quarantine`]),
        ...(sums.queued === 0 ? [] : [`${counted(sums.queued, "record")} ${queued}`]),
      ];
      const code = sums.kept > 0 || missing.length > 0 ? 1 : 0;
      return { text: `${lines.join("\n")}\n`, json: { ...sums, items, missing }, code };
    });
  },
});

const purge: Command = command({
  name: "quarantine purge",
  description: "Delete quarantined records, samples, notes or dead letters",
  args: {
    ...instanceFlags,
    ...filterFlags,
    before: option("when", "Only items older than this: a duration such as 7d, or an RFC 3339 time."),
    yes: {
      type: "boolean",
      alias: "y",
      description: "Delete dead letters too. They were accepted and exist nowhere else.",
    },
    ids,
  },
  examples: [
    ["tailscale2otel quarantine purge --class sample", "all samples"],
    ["tailscale2otel quarantine purge --before 30d", "old items except dead letters"],
    ["tailscale2otel quarantine purge m4 --yes", "one item, even though it is a dead letter"],
  ],
  run({ args, sources, host }) {
    const selection = selectionOf(args, "--class or --before");
    return withInstance({ args, sources, host }, async ({ operations }) => {
      const missing = await missingOf(selection.ids ?? [], operations);
      let purged = 0;
      let keptDeadLetters = 0;
      for (let isDone = false; !isDone;) {
        const page = await operations.purge(selection, args.yes === true ? "delete" : "keep");
        purged += page.purged;
        ({ keptDeadLetters, isDone } = page);
      }
      const kept = counted(keptDeadLetters, "dead letter");
      const left = keptDeadLetters === 0 ? "" : `; ${kept} kept (--yes deletes dead letters too)`;
      const lines = [
        ...missing.map((id) => `there is no item ${id}`),
        ...(missing.length > 0 && purged + keptDeadLetters === 0 ? [] : [`${counted(purged, "item")} deleted${left}`]),
      ];
      const code = missing.length > 0 ? 1 : 0;
      return { text: `${lines.join("\n")}\n`, json: { purged, keptDeadLetters, missing }, code };
    });
  },
});

type RetryInvocation = Parameters<typeof withInstance>[0] & { readonly args: SelectionArgs };

async function cancelRetry({ args, ...rest }: RetryInvocation) {
  const { destination, ...filter } = filterOf(args);
  if (args._.length > 0 || Object.keys(filter).length > 0)
    throw new UsageError("--cancel takes neither ids of items nor a filter");
  return withInstance({ args, ...rest }, async ({ operations }) => {
    const report = await operations.cancel("retry", destination);
    return { text: `${redeliveryText(report)}\n`, json: report };
  });
}

/** The ids for which there is no item. */
async function missingOf(
  selected: readonly string[],
  { show: read }: Instance["operations"],
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const id of selected) {
    try {
      await read(id);
    } catch (error) {
      if (!(error instanceof Error) || error.message !== `there is no item ${id}`) throw error;
      missing.push(id);
    }
  }
  return missing;
}

export const quarantineCommands: readonly Command[] = [list, show, retry, purge];

/** Flags and positional words of commands that select items. */
interface SelectionArgs extends Readonly<Partial<Record<"reason" | "before" | "destination", string | undefined>>> {
  readonly _: readonly string[];
  readonly class?: QuarantineFilter["class"] | undefined;
  readonly type?: QuarantineFilter["type"] | undefined;
}

function filterOf({ class: itemClass, reason, type, before, destination }: SelectionArgs): QuarantineFilter {
  return {
    ...(itemClass === undefined ? {} : { class: itemClass }),
    ...(reason === undefined ? {} : { reason }),
    ...(type === undefined ? {} : { type }),
    ...(destination === undefined ? {} : { destination }),
    ...(before === undefined ? {} : { before: instantOf(before, Date.now(), "--before") }),
  };
}

/** @throws {UsageError} if nothing is selected, or items are selected both by id and by filter. */
function selectionOf(args: SelectionArgs, example: string): Selection {
  const filter = filterOf(args);
  const isFiltered = Object.keys(filter).length > 0;
  if (args._.length === 0) {
    if (isFiltered) return filter;
    throw new UsageError(`ids of items are required, or a filter such as ${example}`);
  }
  if (isFiltered) throw new UsageError("give ids of items or a filter, not both");
  if (args._.length > maxListed) throw new UsageError(`at most ${maxListed} items at a time`);
  return { ids: args._.map(idOf) };
}

function idOf(text: string): string {
  if (!isItemId(text)) throw new UsageError(`${JSON.stringify(text)} is not the id of an item, such as 17.0 or m4`);
  return text;
}

const maxDetail = 80;

function listText(items: ItemList["items"], out: Output): string {
  const isNamed = items.some(({ destination }) => destination !== undefined);
  const named = (text: string): readonly string[] => (isNamed ? [text] : []);
  const head = ["id", "class", "type", "reason", "records", "at", "source", ...named("destination"), "detail"];
  const rows = items.map(({ id, class: itemClass, type, reason, records, at, source, destination = "", detail }) => {
    const short = detail.length > maxDetail ? `${detail.slice(0, maxDetail)}…` : detail;
    return [id, itemClass, type, reason, String(records), at, source, ...named(destination), short];
  });
  return tableText(head, rows, out);
}

/** Number of items by class and reason, on one line. */
function countsText(counts: ItemList["counts"]): string {
  const sums = itemClasses.flatMap((itemClass) => {
    const ofClass = counts.filter((one) => one.class === itemClass).toSorted((a, b) => (a.reason < b.reason ? -1 : 1));
    const sum = ofClass.reduce((items, one) => items + one.items, 0);
    const reasons = ofClass.map(({ reason, items }) => `${reason} ${items}`).join(", ");
    return sum === 0 ? [] : [`${itemClass} ${sum} (${reasons})`];
  });
  return sums.length === 0 ? "no items" : sums.join("; ");
}

/** One item: its properties, followed by its texts. */
function itemText({ texts, isCut, row, line, records, ...item }: ItemWithTexts): string {
  const last = line + records - 1;
  const place = last > line ? `lines ${line} to ${last}` : `line ${line}`;
  const head = [
    ...(["id", "class", "type", "source", "at", "reason", "destination", "detail"] as const).flatMap((name) => {
      const value = item[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
    ["records", `${records} (row ${row} of the journal, ${place})`] as const,
  ].map(([name, value]) => `${name.padEnd(7)} ${printable(value)}\n`);
  const shown = texts.length === 0 ? "(the text is damaged)" : texts.map(printableLines).join("\n");
  const isPart = records > texts.length;
  const remark = isPart
    ? `the first ${texts.length} of ${records} records`
    : "only the beginning of the text is stored";
  return `${head.join("")}\n${shown}\n${isCut ? `(${remark})\n` : ""}`;
}
