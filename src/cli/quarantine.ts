/** `quarantine …`: look at what was set aside, take it in or send it again, let it go. */
import type { Kept } from "../admin/kept.ts";
import { type KeptBack, maxListed, type Selection } from "../admin/kept-types.ts";
import { type ItemFilter, itemTypes, quarantineClasses } from "../journal/quarantine-items.ts";
import { type Command, command } from "./command.ts";
import { type Flags, UsageError } from "./flags.ts";
import { instanceFlags, openInstance } from "./instance.ts";
import { instantOf } from "./instant.ts";
import { counted, countsText, itemText, keptText, listText } from "./quarantine-text.ts";
import { repeatableConfigFlags } from "./sources.ts";
import type { Host } from "./terminal.ts";

const filterFlags = {
  class: { type: "enum" as const, options: [...quarantineClasses], description: "Items of that class." },
  reason: { type: "string" as const, valueHint: "word", description: "Items that were set aside for that reason." },
  type: { type: "enum" as const, options: [...itemTypes], description: "Items of that type of record." },
};

const ids = {
  type: "positional" as const,
  required: false,
  description: "The items, by the numbers that list shows.",
};

export const quarantineListCommand: Command = command({
  name: "quarantine list",
  description: "List what was set aside, newest first",
  args: {
    ...instanceFlags,
    ...filterFlags,
    limit: {
      type: "string",
      valueHint: "number",
      description: `At most so many items, up to ${maxListed}. (Default: 50)`,
    },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel quarantine list", "what there is"],
    ["tailscale2otel quarantine list --class dead_letter --json", "one JSON object a line"],
  ],
  notes:
    "Classes: invalid (never accepted), sample (of an unknown kind), note (about something that happened), dead_letter (accepted, and not taken by the backend).",
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
  args: { ...instanceFlags, id: { ...ids, required: true, description: "The item, by the number that list shows." } },
  repeatable: repeatableConfigFlags,
  examples: [["tailscale2otel quarantine show 17", ""]],
  notes: "What privacy hides is hidden here too.",
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
  description: "Take invalid records in once more, and send dead letters again",
  args: { ...instanceFlags, ...filterFlags, ids },
  repeatable: [...repeatableConfigFlags, "ids"],
  examples: [
    ["tailscale2otel quarantine retry 17 18", "these"],
    ["tailscale2otel quarantine retry --class invalid --reason decode_error", "all that were set aside for it"],
    ["tailscale2otel quarantine retry --class dead_letter", "all that the backend did not take"],
  ],
  notes:
    "A record that is refused again stays where it is, and so does a dead letter. Samples and notes cannot be retried. While no instance runs, dead letters are sent by the next run. Exit code 1 where an item stays.",
  run({ args, flags, host }) {
    const selection = selectionOf(flags);
    return withKept(flags, host, async (kept, isRunning) => {
      const sums = { accepted: 0, duplicate: 0, queued: 0, stay: 0 };
      const back: KeptBack[] = [];
      let after: number | undefined;
      do {
        const page = await kept.retry({ ...selection, ...(after === undefined ? {} : { after }) });
        sums.accepted += page.accepted;
        sums.duplicate += page.duplicate;
        sums.queued += page.queued;
        sums.stay += page.kept.length;
        back.push(...page.kept.slice(0, maxListed - back.length));
        after = page.nextAfter;
      } while (after !== undefined);
      if (isJson(args.json, host)) {
        await host.out.write(`${JSON.stringify({ ...sums, kept: back })}\n`);
      } else {
        await host.out.write(keptText(back));
        await host.out.write(`${sums.accepted} accepted, ${sums.duplicate} known already, ${sums.stay} stay\n`);
        const when = isRunning ? "on the way; status shows how far" : "to be sent by the next run";
        if (sums.queued > 0) await host.out.write(`${counted(sums.queued, "dead letter")} ${when}\n`);
      }
      return sums.stay > 0 ? 1 : 0;
    });
  },
});

export const quarantinePurgeCommand: Command = command({
  name: "quarantine purge",
  description: "Delete what was set aside",
  args: {
    ...instanceFlags,
    ...filterFlags,
    before: { type: "string", valueHint: "when", description: "Items older than that: 7d, or an RFC 3339 time." },
    yes: {
      type: "boolean",
      alias: "y",
      description: "Dead letters too: they were accepted, and are in no other place.",
    },
    ids,
  },
  repeatable: [...repeatableConfigFlags, "ids"],
  examples: [
    ["tailscale2otel quarantine purge --class sample", "all samples"],
    ["tailscale2otel quarantine purge --before 30d", "old items, but no dead letters"],
    ["tailscale2otel quarantine purge 17 --yes", "one item, even if it is a dead letter"],
  ],
  run({ args, flags, host }) {
    const selection = selectionOf(flags);
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

function filterOf({ values }: Flags): ItemFilter {
  const before = values.get("before")?.[0];
  const entries = (["class", "reason", "type"] as const).flatMap((name) => {
    const value = values.get(name)?.[0];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...(Object.fromEntries(entries) as ItemFilter),
    ...(before === undefined ? {} : { before: instantOf(before, Date.now(), "--before") }),
  };
}

/** @throws {UsageError} where nothing is selected, or too much is said. */
function selectionOf(flags: Flags): Selection {
  const given = flags.values.get("ids");
  const filter = filterOf(flags);
  const isFiltered = Object.keys(filter).length > 0;
  if (given === undefined) {
    if (!isFiltered) throw new UsageError("which items? Give their numbers, or --class");
    return filter;
  }
  if (isFiltered) throw new UsageError("give numbers of items or what they share, not both");
  if (given.length > maxListed) throw new UsageError(`at most ${maxListed} items at a time`);
  return { ids: given.map(idOf) };
}

function idOf(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no number of an item`);
  return Number(text);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return 50;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > maxListed)
    throw new UsageError(`--limit takes a number from 1 to ${maxListed}, not ${JSON.stringify(text)}`);
  return limit;
}
