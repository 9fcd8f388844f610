/** `replay`: sends logs to the backend once more, from what the journal still holds. */
import { setTimeout as wait } from "node:timers/promises";
import type { RedeliveryReport } from "../admin/kept-types.ts";
import { type Command, command } from "./command.ts";
import { UsageError } from "./flags.ts";
import { type Instance, instanceFlags, openInstance } from "./instance.ts";
import { instantOf } from "./instant.ts";
import { redeliveryText } from "./redelivery-text.ts";
import { repeatableConfigFlags } from "./sources.ts";
import type { Host } from "./terminal.ts";

export const replayCommand: Command = command({
  name: "replay",
  description: "Send delivered logs to the backend once more",
  args: {
    ...instanceFlags,
    since: {
      type: "string",
      valueHint: "when",
      description: "What was received since then: 8h (so long ago), or an RFC 3339 time.",
    },
    until: { type: "string", valueHint: "when", description: "What was received until then. (Default: now)" },
    cancel: { type: "boolean", description: "End the one that is under way." },
    detach: { type: "boolean", description: "Do not wait for its end." },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel replay --since 8h", "the backend has lost the last hours"],
    ["tailscale2otel replay --since 2026-11-02T09:00:00Z --until 2026-11-02T12:00:00Z", "a stretch of time"],
    ["tailscale2otel replay --cancel", ""],
  ],
  notes:
    "It goes back as far as state.retention. Fresh logs go first, no counter changes, and the rows stay in the journal until it is over. It goes on after a restart, and after this command is ended. While no instance runs, the next run does it.",
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
        if (!instance.isRunning) await host.err.write("no instance is running: the next run does it\n");
        return 0;
      }
      const ended = await follow(instance, begun, host);
      await say(host, isJson, ended);
      return ended.state === "ended" ? 0 : 1;
    } finally {
      instance.close();
    }
  },
});

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

/** Resolves when it is over, with what became of it. */
async function follow(instance: Instance, begun: RedeliveryReport, { out }: Host): Promise<RedeliveryReport> {
  let last = begun;
  while (last.state === "under way") {
    if (out.isTerminal) await out.write(`\r\u001b[2K${redeliveryText(last)}`);
    await wait(lookEveryMs);
    const now = await instance.kept.redeliveries();
    const mine = now.find(({ name, startedAt }) => name === "replay" && startedAt === begun.startedAt);
    if (mine === undefined) throw new Error("another replay has taken its place");
    last = mine;
  }
  if (out.isTerminal) await out.write("\r\u001b[2K");
  return last;
}

async function say({ out }: Host, isJson: boolean, report: RedeliveryReport): Promise<void> {
  await out.write(isJson ? `${JSON.stringify(report)}\n` : `${redeliveryText(report)}\n`);
}
