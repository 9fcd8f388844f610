/** `replay`: exports delivered logs again, from what the journal still holds. */
import { setTimeout as wait } from "node:timers/promises";
import { type Command, command } from "./command.ts";
import { UsageError } from "./flags.ts";
import { instantOf } from "./instant.ts";
import { repeatableConfigFlags } from "./sources.ts";
import { printable } from "./table.ts";
import type { Host } from "./terminal.ts";
import type { RedeliveryReport } from "../admin/kept-types.ts";
import { type Instance, instanceFlags, openInstance } from "./instance.ts";

export const replayCommand: Command = command({
  name: "replay",
  description: "Export delivered logs to the backend again",
  args: {
    ...instanceFlags,
    since: {
      type: "string",
      valueHint: "when",
      description: "Logs received since then: 8h (that long ago), or an RFC 3339 time.",
    },
    until: { type: "string", valueHint: "when", description: "Logs received until then. (Default: now)" },
    cancel: { type: "boolean", description: "Cancel the replay that is in progress." },
    detach: { type: "boolean", description: "Do not wait until it has finished." },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel replay --since 8h", "the backend has lost the last hours"],
    ["tailscale2otel replay --since 2026-11-02T09:00:00Z --until 2026-11-02T12:00:00Z", "a range of time"],
    ["tailscale2otel replay --cancel", ""],
  ],
  notes:
    "It reaches back as far as state.retention. Fresh logs are exported first, no counter changes, and the rows stay in the journal until the replay has ended. A replay continues after a restart, and after this command is interrupted. While no instance runs, it is queued for the next run.",
  async run({ args, flags, host }) {
    const range = args.cancel === true ? undefined : rangeOf(args.since, args.until);
    const instance = await openInstance(flags, host);
    const isJson = args.json === true || !host.out.isTerminal;
    try {
      if (range === undefined) {
        await say(host, isJson, await instance.kept.cancel("replay"));
        return 0;
      }
      const begun = await instance.kept.replay(range);
      if (args.detach === true || !instance.isRunning) {
        await say(host, isJson, begun);
        if (!instance.isRunning) await host.err.write("no instance is running: the next run starts the replay\n");
        return 0;
      }
      const ended = await follow(instance, begun, host);
      await say(host, isJson, ended);
      return ended.state === "finished" ? 0 : 1;
    } finally {
      instance.close();
    }
  },
});

/** The progress of a replay, or of a retry of dead letters, on one line for a person. */
export function redeliveryText(report: RedeliveryReport): string {
  const { name, state, since, until, total, delivered, rejected, trouble } = report;
  const what = name === "replay" ? `replay of ${since ?? ""} to ${until ?? ""}` : "retry of dead letters";
  const percent = total === 0 ? 100 : Math.min(100, Math.floor(((delivered + rejected) / total) * 100));
  const again = rejected === 0 ? "" : `, ${rejected} rejected`;
  const why = trouble === undefined ? "" : `; waiting: ${printable(trouble)}`;
  return `${what}: ${state}, ${delivered} of ${total} records delivered (${percent} %)${again}${why}`;
}

function rangeOf(since: string | undefined, until: string | undefined): { since: number; until?: number } {
  if (since === undefined) throw new UsageError("since when? Give --since, or --cancel");
  const now = Date.now();
  const range = { since: instantOf(since, now, "--since") };
  if (until === undefined) return range;
  const end = instantOf(until, now, "--until");
  if (end < range.since) throw new UsageError("--until is before --since");
  return { ...range, until: end };
}

const lookEveryMs = 300;

/** Resolves with the last report once the replay has ended. */
async function follow(instance: Instance, begun: RedeliveryReport, { out }: Host): Promise<RedeliveryReport> {
  let last = begun;
  while (last.state === "in progress") {
    if (out.isTerminal) await out.write(`\r\u001b[2K${redeliveryText(last)}`);
    await wait(lookEveryMs);
    const now = await instance.kept.redeliveries();
    const mine = now.find(({ name, startedAt }) => name === "replay" && startedAt === begun.startedAt);
    if (mine === undefined) throw new Error("another replay was started meanwhile");
    last = mine;
  }
  if (out.isTerminal) await out.write("\r\u001b[2K");
  return last;
}

async function say({ out }: Host, isJson: boolean, report: RedeliveryReport): Promise<void> {
  await out.write(isJson ? `${JSON.stringify(report)}\n` : `${redeliveryText(report)}\n`);
}
