/** `status`: the health of an instance, and the sums that show that nothing disappears. */
import { type Command, command } from "./command.ts";
import { repeatableConfigFlags } from "./sources.ts";
import { printable } from "./table.ts";
import type { Output } from "./terminal.ts";
import { formatBytes, formatDuration } from "../lib/units.ts";
import type { CounterState, Status } from "../admin/status.ts";
import type { PollStatus } from "../receivers/poller/index.ts";
import { instanceFlags, openInstance } from "./instance.ts";
import { redeliveryText } from "./replay.ts";

/** A running instance adds these. */
interface ShownStatus extends Status {
  readonly polls?: readonly PollStatus[];
  readonly export?: { readonly logs?: SignalHealth; readonly metrics?: SignalHealth };
}

interface SignalHealth {
  /** Of any version of the program that answers: unknown kinds are shown as they are. */
  readonly kind: string;
  /** What is wrong; absent if nothing is. */
  readonly why?: string;
  /** RFC 3339. */
  readonly since?: string;
}

const signals = ["logs", "metrics"] as const;
type Signal = (typeof signals)[number];

export const statusCommand: Command = command({
  name: "status",
  description: "Show health, delivery and the conservation sums of an instance",
  args: instanceFlags,
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel status", "of the instance on this machine"],
    ["tailscale2otel status --json | jq .conservation", "for programs"],
  ],
  notes:
    "Exit code 0 if it accepts records, 1 if it does not. While no instance runs, it shows the state of the journal.",
  async run({ args, flags, host }) {
    const instance = await openInstance(flags, host);
    try {
      const status: ShownStatus = await instance.status();
      const isJson = args.json === true || !host.out.isTerminal;
      const shown = isJson
        ? `${JSON.stringify({ running: instance.isRunning, ...status }, undefined, 2)}\n`
        : statusText(status, Date.now(), host.out);
      await host.out.write(shown);
      return status.notReady.length === 0 ? 0 : 1;
    } finally {
      instance.close();
    }
  },
});

/** `now`: epoch milliseconds. */
export function statusText(status: ShownStatus, now: number, out: Pick<Output, "hasColour">): string {
  const { conservation: sums, delivery, horizon, space } = status;
  const rows: (readonly [string, string])[] = [
    ["health", healthText(status, out)],
    ["version", status.version],
    [
      "received",
      `${sums.received} = ${sums.accepted} accepted + ${sums.duplicate} duplicate + ${sums.skipped} skipped + ${sums.quarantined} quarantined`,
    ],
    [
      "accepted",
      `${sums.accepted}${sums.uncounted === 0 ? "" : ` + ${sums.uncounted} uncounted`} = ${sums.delivered} delivered + ${sums.pending} pending + ${sums.deadLettered} dead-lettered${lossText(sums)}`,
    ],
    ...countersRow(status.counters),
    ["backlog", backlogText(delivery.pendingSince, now)],
    ...signals.map((signal) => [signal, signalText(status, signal, now)] as const),
    [
      "dedup window",
      Object.entries(horizon)
        .map(([type, seconds]) => `${type} ${ageText(seconds * 1000)}`)
        .join(", "),
    ],
    ...Object.entries(status.unverifiable)
      .filter(([, seconds]) => seconds > 0)
      .map(
        ([type, seconds]) =>
          ["not polled", `${ageText(seconds * 1000)} of the ${type} log, beyond the dedup window`] as const,
      ),
    ["space", `${formatBytes(roughly(space.usedBytes))} of ${formatBytes(space.limitBytes)}`],
    ...(status.polls ?? []).map((poll) => ["polling", pollText(poll, now)] as const),
    ...status.redeliveries.map((one) => ["replays", redeliveryText(one)] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join("");
}

/** Accepting records is one thing, exporting them another: an instance that does the first alone is not simply well. */
function healthText(status: ShownStatus, { hasColour }: Pick<Output, "hasColour">): string {
  const paint = (colour: number, text: string) => (hasColour ? `\u001b[${colour}m${text}\u001b[39m` : text);
  if (status.notReady.length > 0) return paint(31, status.notReady.join("; "));
  const failing = signals.filter((signal) => isFailing(status.export?.[signal]));
  return failing.length === 0
    ? paint(32, "accepting")
    : paint(33, `accepting; export of ${failing.join(" and ")} failing`);
}

/** Only after a start: the sums lack the rows that are still to be counted. */
function countersRow(counters: CounterState): (readonly [string, string])[] {
  if (counters.kind === "current") return [];
  return [["counters", `restoring, row ${counters.measuredRow} of ${counters.lastRow}; the sums are incomplete`]];
}

/** Records that were lost with a damaged journal; hardly ever are there any. */
function lossText({ lost }: Status["conservation"]): string {
  return lost === 0 ? "" : ` + ${lost} lost`;
}

function backlogText(since: string | undefined, now: number): string {
  return since === undefined ? "none" : `oldest record received ${ageText(now - Date.parse(since))} ago, at ${since}`;
}

function pollText({ log, readUntil, trouble }: PollStatus, now: number): string {
  const reach = readUntil === undefined ? "not read yet" : `read up to ${ageText(now - Date.parse(readUntil))} ago`;
  return `${log} log ${reach}${trouble === undefined ? "" : `: ${printable(trouble)}`}`;
}

function signalText({ export: health, delivery }: ShownStatus, signal: Signal, now: number): string {
  return health === undefined ? "not running" : healthOfSignal(health[signal], delivery.lastSuccess[signal], now);
}

function healthOfSignal(health: SignalHealth | undefined, lastSuccess: string | undefined, now: number): string {
  const last = lastSuccess === undefined ? "" : `last success ${ageText(now - Date.parse(lastSuccess))} ago`;
  if (health === undefined) return last === "" ? "not exported" : `not exported, ${last}`;
  const remark = last === "" ? "" : ` (${last})`;
  if (!isFailing(health)) return `${unsent[health.kind] ?? "ok"}${remark}`;
  const since = health.since === undefined ? "" : ` since ${health.since}`;
  const why = health.why === undefined ? "" : `: ${printable(health.why)}`;
  return `${failures[health.kind] ?? health.kind}${since}${why}${remark}`;
}

/** Words for the states of export that are not well. */
const failures: Readonly<Record<string, string>> = {
  waiting: "failing, retrying",
  refusing: "the backend rejects everything",
  dead: "the export worker died, restarting",
};

/** Words for the states in which nothing was sent. */
const unsent: Readonly<Record<string, string>> = {
  untried: "not sent yet",
  local: "local mode: not sent (otlp.endpoint is empty)",
  disabled: "not exported: disabled in the configuration",
};

function isFailing(health: SignalHealth | undefined): boolean {
  return health !== undefined && (health.why !== undefined || failures[health.kind] !== undefined);
}

/** In whole units, the way people say it. */
function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return formatDuration(Math.floor(seconds / 3600) * 3_600_000);
}

/** To the nearest unit that people can read. */
function roughly(bytes: number): number {
  const unit = bytes >= 1024 ** 2 ? 1024 ** 2 : 1024;
  return Math.round(bytes / unit) * unit;
}
