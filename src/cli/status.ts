/** `status`: the health of an instance, and the sums that show that nothing disappears. */
import type { DestinationStatus } from "../admin/destinations.ts";
import type { CounterState, PollHealth, RunningStatus, SignalHealth, Status } from "../admin/status.ts";
import { formatBytes, formatDuration } from "../lib/units.ts";
import { foldLines } from "../lib/fold.ts";
import { printable } from "../lib/text.ts";
import { toggle } from "./flags.ts";
import { type Command, command } from "./command.ts";
import { instanceFlags, withInstance } from "./instance.ts";
import { redeliveryText } from "./replay.ts";
import { type Output, paint } from "./terminal.ts";

/** `address`: the admin listener of an instance that runs. */
type ShownStatus = Status & Partial<RunningStatus> & { readonly address?: string | undefined };

const signals = ["logs", "metrics"] as const;

export const statusCommand: Command = command({
  name: "status",
  description: "Show health, delivery, and whether every record is accounted for",
  args: {
    ...instanceFlags,
    strict: toggle("Also exit with 1 if the instance is degraded."),
  },
  examples: [
    ["tailscale2otel status", "the instance on this machine"],
    ["tailscale2otel status --json | jq .conservation", "for scripts"],
  ],
  notes:
    "Health is accepting; or degraded, if records are accepted but export, polling or the setup of Tailscale is failing; or the reason why records are not accepted.\nExit code 0 if records are accepted, 1 if not. While no instance runs, the state of its journal is shown.",
  run: ({ args, sources, host }) =>
    withInstance({ args, sources, host }, async ({ isRunning, address, status: read }) => {
      const status = await read();
      const troubles = [...status.notReady, ...(args.strict === true ? (status.degraded ?? []) : [])];
      return {
        text: statusText({ ...status, address }, Date.now(), host.out),
        json: { running: isRunning, address, ...status },
        code: troubles.length === 0 ? 0 : 1,
      };
    }),
});

/** `now`: epoch milliseconds. */
export function statusText(status: ShownStatus, now: number, out: Pick<Output, "hasColor" | "columns">): string {
  const { conservation: sums, delivery, horizon, space } = status;
  const rows: (readonly [string, string])[] = [
    ["instance", instanceText(status)],
    ["health", healthText(status, out)],
    ["version", status.version],
    [
      "received",
      `${sums.received} = ${sums.accepted} accepted + ${sums.duplicate} duplicate + ${sums.skipped} skipped + ${sums.quarantined} quarantined`,
    ],
    [
      "accepted",
      `${sums.accepted}${sums.uncounted === 0 ? "" : ` + ${sums.uncounted} uncounted`} = ${sums.delivered} delivered + ${sums.pending} pending + ${sums.deadLettered} dead-lettered${sums.lost === 0 ? "" : ` + ${sums.lost} lost`}`,
    ],
    ...countersRow(status.counters),
    ["backlog", backlogText(delivery.pendingSince, now)],
    ...signals.map((signal) => {
      const text =
        status.export === undefined
          ? "not running"
          : signalText(status.export[signal], delivery.lastSuccess[signal], now, signal === "logs" ? sums.pending : 0);
      return [signal, text] as const;
    }),
    ...(status.destinations ?? []).flatMap((one) => destinationRows(one, now)),
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
    ...(status.tailnet ?? []).map(({ task, trouble }) => {
      const state = task === "device list" ? "read" : "set";
      return ["tailnet", `${printable(task)} not ${state}: ${printable(trouble)}`] as const;
    }),
    ...status.redeliveries.map((one) => ["replays", redeliveryText(one)] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return foldLines(rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join(""), out.columns);
}

/** A further destination: its sum, and how each signal fares. */
function destinationRows({ name, records, export: of, lastSuccess }: DestinationStatus, now: number) {
  const sum = (one: NonNullable<typeof records>): string => {
    const { types, accepted, delivered, pending, deadLettered, evicted, pendingSince } = one;
    const given = evicted === 0 ? "" : ` + ${evicted} evicted`;
    const only = types.length === 3 ? "" : ` (only ${types.join(", ")})`;
    const oldest = pendingSince === undefined ? "" : `; oldest received ${ageText(now - Date.parse(pendingSince))} ago`;
    return `${accepted}${only} = ${delivered} delivered + ${pending} pending + ${deadLettered} dead-lettered${given}${oldest}`;
  };
  const rows = signals.flatMap((signal) =>
    of === undefined
      ? []
      : [[`  ${signal}`, signalText(of[signal], lastSuccess[signal], now, records?.pending ?? 0)] as const],
  );
  return [["destination", records === undefined ? name : `${name}: ${sum(records)}`] as const, ...rows];
}

function instanceText({ address, statePath = "unknown" }: ShownStatus): string {
  return address === undefined ? `none running; journal in ${statePath}` : `${address}, state ${printable(statePath)}`;
}

/** Whether records are accepted, and if not, why. */
export function healthText(
  { notReady, degraded = [] }: Pick<ShownStatus, "notReady" | "degraded">,
  out: Pick<Output, "hasColor">,
): string {
  if (notReady.length > 0) return paint(31, printable(notReady.join("; ")), out);
  return degraded.length === 0
    ? paint(32, "accepting", out)
    : paint(33, `degraded: accepting, but ${printable(degraded.join("; "))}`, out);
}

/** Only after a start: the sums lack the rows that are still to be counted. */
function countersRow(counters: CounterState): (readonly [string, string])[] {
  if (counters.kind === "current") return [];
  return [["counters", `restoring, row ${counters.measuredRow} of ${counters.lastRow}; the sums are incomplete`]];
}

function backlogText(since: string | undefined, now: number): string {
  return since === undefined ? "none" : `oldest record received ${ageText(now - Date.parse(since))} ago, at ${since}`;
}

function pollText({ log, readUntil, lastSuccess, trouble }: PollHealth, now: number): string {
  const age = readUntil === undefined ? undefined : ageText(now - Date.parse(readUntil));
  if (trouble === undefined) return `${log} log ${age === undefined ? "not read yet" : `read up to ${age} ago`}`;
  const last =
    lastSuccess === undefined
      ? "no successful poll since the start"
      : `last success ${ageText(now - Date.parse(lastSuccess))} ago`;
  return `${log} log failing, ${last}${age === undefined ? "" : `, ${age} behind`}: ${printable(trouble)}`;
}

function signalText(health: SignalHealth, lastSuccess: string | undefined, now: number, pending: number): string {
  const last = lastSuccess === undefined ? "" : ` (last success ${ageText(now - Date.parse(lastSuccess))} ago)`;
  const { kind, why, since, leftOut = 0 } = health;
  // The state is that since the start of the exporter, the success that since the start of the program.
  const isSent = kind === "untried" && lastSuccess !== undefined;
  if (why === undefined)
    return `${isSent ? "ok" : (unsent[kind] ?? "ok")}${leftOut > 0 ? `, but the backend rejects ${leftOut} series` : ""}${last}`;
  const begun = since === undefined ? "" : ` since ${since}`;
  const waiting = pending === 0 ? "" : ` (${pending} ${pending === 1 ? "record" : "records"} pending)`;
  return `${failures[kind] ?? kind}${begun}: ${printable(why)}${kind === "refusing" ? waiting : ""}${last}`;
}

/** Words for the states in which export does not work. */
const failures: Readonly<Record<string, string>> = {
  waiting: "failing, retrying",
  failing: "failing, retrying",
  refusing: "nothing accepted",
  dead: "the export worker died, restarting",
};

/** Words for the states in which nothing was sent. */
const unsent: Readonly<Record<string, string>> = {
  untried: "not sent yet",
  local: "local mode: not sent (otlp.endpoint is empty)",
  disabled: "disabled in the configuration",
};

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
