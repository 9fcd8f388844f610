/** `quarantine …`: list, show, retry and purge quarantined records and dead letters. */
import { type Command, command } from "./command.ts";
import { type Flags, UsageError } from "./flags.ts";
import { instantOf } from "./instant.ts";
import { repeatableConfigFlags } from "./sources.ts";
import type { Host } from "./terminal.ts";
import { isItemId, itemClasses, itemTypes, type KeptItem, maxListed, type Selection } from "../admin/kept-types.ts";
import type { Kept } from "../admin/kept.ts";
import type { QuarantineFilter } from "../journal/index.ts";
import { instanceFlags, openInstance } from "./instance.ts";
import { counted, countsText, itemText, keptText, listText } from "./quarantine-text.ts";

const filterFlags = {
  class: { type: "enum" as const, options: [...itemClasses], description: "Items of that class." },
  reason: { type: "string" as const, valueHint: "word", description: "Items with that reason." },
  type: { type: "enum" as const, options: [...itemTypes], description: "Items of that type of record." },
};

const ids = {
  type: "positional" as const,
  required: false,
  description: "The items, by the ids that list shows.",
};

export const quarantineListCommand: Command = command({
  name: "quarantine list",
  description: "List quarantined records, samples, notes and dead letters, newest first",
  args: {
    ...instanceFlags,
    ...filterFlags,
    limit: {
      type: "string",
      valueHint: "number",
      description: `The most items to list, up to ${maxListed}. (Default: 50)`,
    },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel quarantine list", "all items"],
    ["tailscale2otel quarantine list --class dead_letter --json", "one JSON object per line"],
  ],
  notes:
    "Classes: invalid (a record that was never accepted), sample (a value of an unknown kind), note (about records that were delivered in part or not measured), dead_letter (accepted records that the backend rejected).",
  run({ args, flags, host }) {
    const query = { ...filterOf(flags), limit: limitOf(args.limit) };
    return withKept(flags, host, async (kept) => {
      const { items, counts } = await kept.list(query);
      if (isJson(args.json, host)) {
        await host.out.write(items.map((item) => `${JSON.stringify(item)}\n`).join(""));
        await host.err.write(countsText(counts));
        return 0;
      }
      await host.out.write(items.length === 0 ? "" : `${listText(items, host.out)}\n`);
      await host.out.write(countsText(counts));
      return 0;
    });
  },
});

export const quarantineShowCommand: Command = command({
  name: "quarantine show",
  description: "Show one item with its text",
  args: { ...instanceFlags, id: { ...ids, required: true, description: "The item, by the id that list shows." } },
  repeatable: repeatableConfigFlags,
  examples: [["tailscale2otel quarantine show 17.0", ""]],
  notes: "What `privacy` hides is hidden here too. Of a dead letter with many records, the first 100 are shown.",
  run({ args, flags, host }) {
    const id = idOf(String(args.id));
    return withKept(flags, host, async (kept) => {
      const item = await kept.show(id);
      await host.out.write(isJson(args.json, host) ? `${JSON.stringify(item)}\n` : itemText(item));
      return 0;
    });
  },
});

export const quarantineRetryCommand: Command = command({
  name: "quarantine retry",
  description: "Retry quarantined records, and export dead letters again",
  args: { ...instanceFlags, ...filterFlags, ids },
  repeatable: [...repeatableConfigFlags, "ids"],
  examples: [
    ["tailscale2otel quarantine retry 17.0 m4", "these items"],
    ["tailscale2otel quarantine retry --class invalid --reason decode_error", "all with that reason"],
    ["tailscale2otel quarantine retry --class dead_letter", "all that the backend rejected"],
  ],
  notes:
    "A record that is still invalid is kept in quarantine, and so is a dead letter that is rejected again. Samples and notes cannot be retried. While no instance runs, dead letters are queued for the next run. Exit code 1 if an item is kept, or does not exist.",
  run({ args, flags, host }) {
    const selection = selectionOf(flags, "--class");
    return withKept(flags, host, async (kept, isRunning) => {
      const sums = { accepted: 0, duplicate: 0, queued: 0, kept: 0 };
      const items: KeptItem[] = [];
      const missing: string[] = [];
      let beforeId: string | undefined;
      do {
        const page = await kept.retry({ ...selection, ...(beforeId === undefined ? {} : { beforeId }) });
        sums.accepted += page.accepted;
        sums.duplicate += page.duplicate;
        sums.queued += page.queued;
        sums.kept += page.kept.length;
        items.push(...page.kept.slice(0, maxListed - items.length));
        missing.push(...page.missing);
        beforeId = page.nextBeforeId;
      } while (beforeId !== undefined);
      if (isJson(args.json, host)) {
        await host.out.write(`${JSON.stringify({ ...sums, items, missing })}\n`);
      } else {
        await host.out.write(keptText(items) + missing.map((id) => `there is no item ${id}\n`).join(""));
        await host.out.write(`${sums.accepted} accepted, ${sums.duplicate} duplicate, ${sums.kept} kept\n`);
        const when = isRunning ? "queued for export; status shows the progress" : "queued for export by the next run";
        if (sums.queued > 0) await host.out.write(`${counted(sums.queued, "dead-lettered record")} ${when}\n`);
      }
      return sums.kept > 0 || missing.length > 0 ? 1 : 0;
    });
  },
});

export const quarantinePurgeCommand: Command = command({
  name: "quarantine purge",
  description: "Delete quarantined records, samples, notes or dead letters",
  args: {
    ...instanceFlags,
    ...filterFlags,
    before: { type: "string", valueHint: "when", description: "Items older than that: 7d, or an RFC 3339 time." },
    yes: {
      type: "boolean",
      alias: "y",
      description: "Delete dead letters too. They were accepted, and exist nowhere else.",
    },
    ids,
  },
  repeatable: [...repeatableConfigFlags, "ids"],
  examples: [
    ["tailscale2otel quarantine purge --class sample", "all samples"],
    ["tailscale2otel quarantine purge --before 30d", "old items except dead letters"],
    ["tailscale2otel quarantine purge m4 --yes", "one item, even though it is a dead letter"],
  ],
  run({ args, flags, host }) {
    const selection = selectionOf(flags, "--class or --before");
    return withKept(flags, host, async (kept) => {
      let purged = 0;
      let keptDeadLetters = 0;
      for (let isDone = false; !isDone;) {
        const page = await kept.purge(selection, args.yes === true ? "delete" : "keep");
        purged += page.purged;
        ({ keptDeadLetters, isDone } = page);
      }
      const left =
        keptDeadLetters === 0
          ? ""
          : `; ${counted(keptDeadLetters, "dead letter")} kept (--yes deletes dead letters too)`;
      await host.out.write(
        isJson(args.json, host)
          ? `${JSON.stringify({ purged, keptDeadLetters })}\n`
          : `${counted(purged, "item")} deleted${left}\n`,
      );
      return 0;
    });
  },
});

async function withKept(
  flags: Flags,
  host: Host,
  use: (kept: Kept, isRunning: boolean) => Promise<number>,
): Promise<number> {
  const instance = await openInstance(flags, host);
  try {
    return await use(instance.kept, instance.isRunning);
  } finally {
    instance.close();
  }
}

function isJson(isAsked: boolean | undefined, { out }: Host): boolean {
  return isAsked === true || !out.isTerminal;
}

function filterOf({ values }: Flags): QuarantineFilter {
  const before = values.get("before")?.[0];
  const entries = (["class", "reason", "type"] as const).flatMap((name) => {
    const value = values.get(name)?.[0];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...(Object.fromEntries(entries) as QuarantineFilter),
    ...(before === undefined ? {} : { before: instantOf(before, Date.now(), "--before") }),
  };
}

/** @throws {UsageError} if nothing is selected, or items both by id and by filter. */
function selectionOf(flags: Flags, example: string): Selection {
  const given = flags.values.get("ids");
  const filter = filterOf(flags);
  const isFiltered = Object.keys(filter).length > 0;
  if (given === undefined) {
    if (!isFiltered) throw new UsageError(`which items? Give their ids, or a filter such as ${example}`);
    return filter;
  }
  if (isFiltered) throw new UsageError("give ids of items or a filter, not both");
  if (given.length > maxListed) throw new UsageError(`at most ${maxListed} items at a time`);
  return { ids: given.map(idOf) };
}

function idOf(text: string): string {
  if (!isItemId(text)) throw new UsageError(`${JSON.stringify(text)} is not the id of an item, such as 17.0 or m4`);
  return text;
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return 50;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > maxListed)
    throw new UsageError(`--limit takes a number from 1 to ${maxListed}, not ${JSON.stringify(text)}`);
  return limit;
}
