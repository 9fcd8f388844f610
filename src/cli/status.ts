/** `status`: how an instance stands, and the sums that show that nothing disappears. */
import type { Status } from "../admin/status.ts";
import { formatBytes } from "../lib/bytes.ts";
import { formatDuration } from "../lib/duration.ts";
import type { PollStatus } from "../receivers/poller/index.ts";
import { type Command, command } from "./command.ts";
import { instanceFlags, openInstance } from "./instance.ts";
import { redeliveryText } from "./redelivery-text.ts";
import { repeatableConfigFlags } from "./sources.ts";
import { printable } from "./table.ts";
import type { Output } from "./terminal.ts";

/** What a running instance says besides. */
interface ShownStatus extends Status {
  readonly polls?: readonly PollStatus[];
  readonly export?: { readonly logs?: SignalHealth; readonly metrics?: SignalHealth };
}

interface SignalHealth {
  readonly kind: string;
  readonly why?: string;
  /** Epoch milliseconds. */
  readonly since?: number;
}

export const statusCommand: Command = command({
  name: "status",
  description: "Show health, delivery and the sums of a running instance",
  args: instanceFlags,
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel status", "of the instance on this machine"],
    ["tailscale2otel status --json | jq .conservation", "for programs"],
  ],
  notes:
    "Exit code 0 where it takes records, 1 where it does not. While no instance runs, it shows what the journal says.",
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
  const paint = (colour: number, text: string) => (out.hasColour ? `\u001b[${colour}m${text}\u001b[39m` : text);
  const { conservation: sums, delivery, horizon, space } = status;
  const isReady = status.notReady.length === 0;
  const rows: (readonly [string, string])[] = [
    ["health", isReady ? paint(32, "takes records") : paint(31, status.notReady.join("; "))],
    ["version", status.version],
    [
      "received",
      `${sums.received} = ${sums.accepted} accepted + ${sums.duplicate} duplicate + ${sums.skipped} skipped + ${sums.quarantined} quarantined`,
    ],
    [
      "accepted",
      `${sums.accepted}${sums.uncounted === 0 ? "" : ` + ${sums.uncounted} uncounted`} = ${sums.delivered} delivered + ${sums.pending} pending + ${sums.deadLettered} dead-lettered${lossText(sums)}`,
    ],
    ["waiting", waitingText(delivery.pendingSince, now)],
    ...(["logs", "metrics"] as const).map(
      (signal) => [signal, signalText(status.export?.[signal], delivery.lastSuccess[signal], now)] as const,
    ),
    [
      "known back",
      Object.entries(horizon)
        .map(([type, seconds]) => `${type} ${ageText(seconds * 1000)}`)
        .join(", "),
    ],
    ...Object.entries(status.unverifiable)
      .filter(([, seconds]) => seconds > 0)
      .map(
        ([type, seconds]) =>
          ["not polled", `${ageText(seconds * 1000)} of the ${type} log, beyond what is known`] as const,
      ),
    [
      "space",
      `${formatBytes(roughly(space.usedBytes))} of ${formatBytes(space.limitBytes)}${space.isFull ? ", full" : ""}`,
    ],
    ...(status.polls ?? []).map((poll) => ["polled", pollText(poll, now)] as const),
    ...status.redeliveries.map((one) => ["sent again", redeliveryText(one)] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join("");
}

/** Of records that damage to the journal has cost; next to always there are none. */
function lossText({ lost }: Status["conservation"]): string {
  return lost === 0 ? "" : ` + ${lost} lost`;
}

function waitingText(since: string | undefined, now: number): string {
  return since === undefined ? "nothing" : `for ${ageText(now - Date.parse(since))}, since ${since}`;
}

function pollText({ log, readUntil, trouble }: PollStatus, now: number): string {
  const reach = readUntil === undefined ? "not yet read" : `read up to ${ageText(now - Date.parse(readUntil))} ago`;
  return `${log} log ${reach}${trouble === undefined ? "" : `: ${printable(trouble)}`}`;
}

function signalText(health: SignalHealth | undefined, lastSuccess: string | undefined, now: number): string {
  const last = lastSuccess === undefined ? "" : `, last taken ${ageText(now - Date.parse(lastSuccess))} ago`;
  if (health === undefined) return `not exported${last}`;
  const since = health.since === undefined ? "" : ` for ${ageText(now - health.since)}`;
  const why = health.why === undefined ? "" : `: ${printable(health.why)}`;
  return `${health.kind}${since}${last}${why}`;
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
