/** The destinations of telemetry and the state of each signal there, worded as in `status`. */
import type { JSX } from "preact";
import type { DestinationStatus } from "../../admin/destinations.ts";
import type { RunningStatus } from "../../admin/status.ts";
import { backlogText, destinationText, signalText } from "../../screen/status-text.ts";
import { inLocalTime } from "../format.ts";
import { serverNow } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { visible } from "../record-text.ts";
import { type Level, levelOf, levelOfDestination } from "./words.ts";

export interface DestinationsPanelProps {
  readonly status: RunningStatus | undefined;
  readonly error: string | undefined;
}

export function DestinationsPanel({ status, error }: DestinationsPanelProps): JSX.Element {
  return (
    <Panel title="Destinations" error={error} note="What the backend last answered, and since when.">
      {status === undefined ? <Empty>Loading…</Empty> : <Destinations status={status} />}
    </Panel>
  );
}

function Destinations({ status }: { readonly status: RunningStatus }): JSX.Element {
  const { conservation, delivery, destinations = [] } = status;
  const primary: DestinationStatus = { name: "primary", export: status.export, lastSuccess: delivery.lastSuccess };
  const now = serverNow();
  return (
    <ul class="states">
      <Destination
        destination={primary}
        pending={conservation.pending}
        rows={[["backlog", backlogText(delivery.pendingSince, now)]]}
      />
      {destinations.map((one) => (
        <Destination key={one.name} destination={one} pending={one.records?.pending ?? 0} rows={recordRows(one, now)} />
      ))}
    </ul>
  );
}

function recordRows({ records }: DestinationStatus, now: number): readonly (readonly [string, string])[] {
  if (records === undefined) return [];
  const rule = records.required
    ? []
    : [["required", "no: its oldest records are given up when space is short"] as const];
  return [["records", destinationText(records, now)], ...rule];
}

interface DestinationProps {
  readonly destination: DestinationStatus;
  readonly pending: number;
  readonly rows: readonly (readonly [string, string])[];
}

function Destination({ destination, pending, rows }: DestinationProps): JSX.Element {
  const { name, export: of, lastSuccess } = destination;
  const now = serverNow();
  const signals = of === undefined ? [] : (["logs", "metrics"] as const).map((signal) => [signal, of[signal]] as const);
  return (
    <li>
      <h3>
        <Badge level={levelOfDestination(destination)} /> {visible(name)}
      </h3>
      <dl class="facts">
        {signals.map(([signal, health]) => (
          <div key={signal} class={levelOf(health)}>
            <dt>{signal}</dt>
            <dd>{inLocalTime(signalText(health, lastSuccess[signal], now, signal === "logs" ? pending : 0))}</dd>
          </div>
        ))}
        {rows.map(([title, text]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{inLocalTime(text)}</dd>
          </div>
        ))}
      </dl>
    </li>
  );
}

const badges: Readonly<Record<Level, string>> = {
  ok: "ok",
  warn: "failing",
  bad: "nothing accepted",
  off: "not used",
};

export function Badge({ level, text = badges[level] }: { readonly level: Level; readonly text?: string }): JSX.Element {
  return <span class={`badge ${level}`}>{text}</span>;
}
