/** The `status` command: shows the health of an instance, and the sums that prove that nothing was lost. */
import type { DestinationStatus } from "../admin/destinations.ts";
import { type ClusterStatus, type FollowerStatus, isFollower } from "../admin/cluster.ts";
import type { RunningStatus, Status } from "../admin/status.ts";
import { remediesOf } from "../admin/troubles.ts";
import { foldLines } from "../lib/fold.ts";
import { printable } from "../lib/text.ts";
import { toggle } from "./flags.ts";
import { type Command, command } from "./command.ts";
import { instanceFlags, withInstance } from "./instance.ts";
import {
  ageText,
  backlogText,
  clusterRows,
  countersText,
  destinationText,
  lostText,
  pollText,
  redeliveryText,
  signalText,
  spaceText,
  sumTexts,
} from "../screen/status-text.ts";
import { type Output, paint } from "./terminal.ts";

/** `address`: the admin listener of a running instance. */
type ShownStatus = Status & Partial<RunningStatus> & { readonly cluster?: ClusterStatus } & Addressed;

interface Addressed {
  readonly address?: string | undefined;
}

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
      const degraded = "degraded" in status ? status.degraded : [];
      const troubles = [...status.notReady, ...(args.strict === true ? degraded : [])];
      return {
        text: statusText({ ...status, address }, Date.now(), host.out),
        json: { running: isRunning, address, ...status },
        code: troubles.length === 0 ? 0 : 1,
      };
    }),
});

/** `now`: epoch milliseconds. */
export function statusText(
  status: ShownStatus | (FollowerStatus & Addressed),
  now: number,
  out: Pick<Output, "hasColor" | "columns">,
): string {
  const rows = isFollower(status) ? followerRows(status, now, out) : statusRows(status, now, out);
  const width = Math.max(...rows.map(([name]) => name.length));
  return foldLines(rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join(""), out.columns);
}

type Rows = readonly (readonly [name: string, text: string])[];

/** Only the leader has the other rows, so the leader is named instead. */
function followerRows(status: FollowerStatus & Addressed, now: number, out: Pick<Output, "hasColor">): Rows {
  const { troubles = [], version, cluster, space } = status;
  return [
    ["instance", instanceText(status)],
    ["health", healthText(status, out)],
    ...remediesOf(troubles).map((remedy) => ["what to do", printable(remedy)] as const),
    ["version", version],
    ...clusterRows(cluster, now),
    ["own metrics", signalText(status.export.metrics, undefined, now, 0)],
    ["space", spaceText(space)],
  ];
}

function statusRows(status: ShownStatus, now: number, out: Pick<Output, "hasColor">): Rows {
  const { conservation: sums, lostRows = 0, delivery, horizon, space } = status;
  const [received, accepted] = sumTexts(sums);
  const counters = countersText(status.counters);
  return [
    ["instance", instanceText(status)],
    ["health", healthText(status, out)],
    ...remediesOf(status.troubles ?? []).map((remedy) => ["what to do", printable(remedy)] as const),
    ["version", status.version],
    ...(status.cluster === undefined ? [] : clusterRows(status.cluster, now)),
    ["received", received],
    ["accepted", accepted],
    ...(lostRows === 0 ? [] : [["lost", lostText(lostRows)] as const]),
    ...(counters === undefined ? [] : [["counters", counters] as const]),
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
    ["space", spaceText(space)],
    ...(status.polls ?? []).map((poll) => ["polling", pollText(poll, now)] as const),
    ...(status.tailnet ?? []).map(({ task, trouble }) => {
      const state = task === "device list" ? "read" : "set";
      return ["tailnet", `${printable(task)} not ${state}: ${printable(trouble)}`] as const;
    }),
    ...status.redeliveries.map((one) => ["replays", redeliveryText(one)] as const),
  ];
}

/** An additional destination: its sum, and the state of each signal. */
function destinationRows(one: DestinationStatus, now: number) {
  const { name, records, export: of, lastSuccess } = one;
  const rows = signals.flatMap((signal) =>
    of === undefined
      ? []
      : [[`  ${signal}`, signalText(of[signal], lastSuccess[signal], now, records?.pending ?? 0)] as const],
  );
  return [
    ["destination", records === undefined ? name : `${name}: ${destinationText(records, now)}`] as const,
    ...rows,
  ];
}

function instanceText({ address, statePath = "unknown" }: Pick<ShownStatus, "address" | "statePath">): string {
  return address === undefined ? `none running; journal in ${statePath}` : `${address}, state ${printable(statePath)}`;
}

/** Whether records are accepted, and why not. */
export function healthText(
  { notReady, degraded = [] }: Pick<ShownStatus, "notReady" | "degraded">,
  out: Pick<Output, "hasColor">,
): string {
  if (notReady.length > 0) return paint(31, printable(notReady.join("; ")), out);
  return degraded.length === 0
    ? paint(32, "accepting", out)
    : paint(33, `degraded: accepting, but ${printable(degraded.join("; "))}`, out);
}
