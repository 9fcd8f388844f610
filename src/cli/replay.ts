/** The `replay` command: exports delivered logs again from the journal. */
import { setTimeout as wait } from "node:timers/promises";
import type { RedeliveryReport } from "../admin/redeliveries.ts";
import { printable } from "../lib/text.ts";
import { redeliveryText } from "../screen/status-text.ts";
import { type Command, command } from "./command.ts";
import { instantOf, option, toggle, UsageError } from "./flags.ts";
import { type Instance, instanceFlags, withInstance } from "./instance.ts";
import type { Host } from "./terminal.ts";

export const replayCommand: Command = command({
  name: "replay",
  description: "Export delivered logs to the backend again",
  args: {
    ...instanceFlags,
    since: option("when", "Start of the range: a duration such as 8h (that long ago), or an RFC 3339 time."),
    until: option("when", "End of the range. (Default: now)"),
    destination: option("name", "A destination of [[otlp.also]]. (Default: primary, the one of [otlp])"),
    cancel: toggle("Cancel the replay that is in progress."),
    detach: toggle("Do not wait for the end."),
  },
  examples: [
    ["tailscale2otel replay --since 8h", "if the backend lost the last hours"],
    ["tailscale2otel replay --since 2026-11-02T09:00:00Z --until 2026-11-02T12:00:00Z", "logs received in that range"],
    ["tailscale2otel replay --destination archive --since 24h", "what a new destination has missed"],
    ["tailscale2otel replay --cancel", ""],
  ],
  notes:
    "A replay can go back as far as state.retention. New logs go first, and no counter changes. The replayed rows stay in the journal until the replay has ended. It continues after a restart, and after this command is interrupted. While no instance runs, it is queued for the next run.",
  run: async ({ args, sources, host }) => {
    if (args.cancel === true && (args.since ?? args.until) !== undefined)
      throw new UsageError("--cancel takes neither --since nor --until");
    const range = args.cancel === true ? undefined : rangeOf(args.since, args.until);
    return withInstance({ args, sources, host }, async (instance) => {
      const { operations, isRunning } = instance;
      const { destination } = args;
      if (range === undefined) return outcomeOf(await operations.cancel("replay", destination));
      const begun = await operations.replay({ ...range, ...(destination === undefined ? {} : { destination }) });
      if (!isRunning) return { ...outcomeOf(begun), remark: "no instance is running: the next run starts the replay" };
      if (args.detach === true) return outcomeOf(begun);
      const ended = await follow(instance, begun, host, args.json === true);
      return { ...outcomeOf(ended), code: ended.state === "finished" ? 0 : 1 };
    });
  },
});

function outcomeOf(report: RedeliveryReport) {
  return { text: `${redeliveryText(report)}\n`, json: report };
}

function rangeOf(since: string | undefined, until: string | undefined): { since: number; until?: number } {
  if (since === undefined) throw new UsageError("--since or --cancel is required");
  const now = Date.now();
  const range = { since: instantOf(since, now, "--since") };
  if (range.since > now) throw new UsageError("--since is in the future: nothing has been received then");
  if (until === undefined) return range;
  const end = instantOf(until, now, "--until");
  if (end < range.since) throw new UsageError("--until is before --since");
  return { ...range, until: end };
}

const pollMs = 300;

/** Resolves with the last report once the replay has ended. A terminal shows its progress; a pipe gets what it waits for. */
async function follow({ operations }: Instance, begun: RedeliveryReport, { out, err }: Host, isQuiet: boolean) {
  const isDrawn = out.isTerminal && !isQuiet;
  const draw = (text: string): Promise<void> => out.write(`\r\u001b[2K${text}`);
  let last = begun;
  let reported: string | undefined;
  while (last.state === "in progress") {
    if (isDrawn) await draw(redeliveryText(last));
    else if (last.trouble !== undefined && last.trouble !== reported)
      await err.write(`waiting: ${printable(last.trouble)} (the replay continues if you end this command)\n`);
    reported = last.trouble;
    await wait(pollMs);
    const now = await operations.redeliveries();
    const mine = now.find(
      ({ name, startedAt, destination }) =>
        name === "replay" && startedAt === begun.startedAt && destination === begun.destination,
    );
    if (mine === undefined) throw new Error("another replay has been started in the meantime");
    last = mine;
  }
  if (isDrawn) await draw("");
  return last;
}
