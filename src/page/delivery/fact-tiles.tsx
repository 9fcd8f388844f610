/** The key figures of delivery: the oldest undelivered record, the backlog, the last success, and the journal's size. */
import type { JSX } from "preact";
import type { RunningStatus } from "../../admin/status.ts";
import { spaceText } from "../../screen/status-text.ts";
import { age, count, dateTime, share } from "../format.ts";
import { overview, serverNow } from "../live.ts";
import { levelOf, type Level } from "./words.ts";

export interface FactTilesProps {
  readonly status: RunningStatus | undefined;
}

/** A record received just now is not a backlog yet. */
const slowMs = 60_000;

export function FactTiles({ status }: FactTilesProps): JSX.Element {
  const now = serverNow();
  const live = overview.value;
  const since = live?.pendingSince;
  const waitedMs = since === undefined ? 0 : now - Date.parse(since);
  const pending = live?.conservation.pending ?? 0;
  const isKnown = live !== undefined;
  const lastLogs = status?.delivery.lastSuccess["logs"];
  const logs = status?.export.logs;
  const isSent = logs !== undefined && levelOf(logs) !== "off";
  return (
    <div class="tiles" role="group" aria-label="Delivery at a glance">
      <Tile
        title="Oldest undelivered record"
        value={isKnown ? (since === undefined ? "None" : age(waitedMs)) : "–"}
        note={since === undefined ? "" : `received ${dateTime(since)}`}
        level={waitedMs > slowMs ? "warn" : "ok"}
      />
      <Tile
        title="Backlog"
        value={isKnown ? count(pending) : "–"}
        note={pending === 1 ? "record waits for the backend" : "records wait for the backend"}
        level={waitedMs > slowMs ? "warn" : "ok"}
      />
      <Tile
        title="Last accepted by the backend"
        value={lastLogs === undefined ? (isSent ? "Not yet" : "–") : `${age(now - Date.parse(lastLogs))} ago`}
        note={logsNote(isSent || logs === undefined, lastLogs)}
        level={logs === undefined ? "off" : levelOf(logs)}
      />
      <Space status={status} />
    </div>
  );
}

function logsNote(isSent: boolean, last: string | undefined): string {
  if (!isSent) return "logs are not sent";
  return last === undefined ? "no log records since the program started" : "log records";
}

/** Above this share of the limit, senders will soon be refused. */
const nearlyFull = 0.9;

function Space({ status }: Pick<FactTilesProps, "status">): JSX.Element {
  if (status === undefined) return <Tile title="Journal size" value="–" note="" level="off" />;
  const { usedBytes, limitBytes, refusal } = status.space;
  const isFull = refusal !== undefined;
  const isNear = usedBytes > limitBytes * nearlyFull;
  return (
    <Tile
      title="Journal size"
      value={isFull ? "Refusing records" : share(usedBytes, limitBytes)}
      note={`${spaceText(status.space)}${refusal?.startsWith("the journal is full") === true ? "; the rest is reserved" : ""}`}
      level={isFull ? "bad" : isNear ? "warn" : "ok"}
    >
      <meter
        aria-label="Journal size"
        low={nearlyFull}
        high={0.99}
        optimum={0}
        value={isFull ? 1 : usedBytes / limitBytes}
      />
    </Tile>
  );
}

interface TileProps {
  readonly title: string;
  readonly value: string;
  readonly note: string;
  readonly level: Level;
  readonly children?: JSX.Element;
}

function Tile({ title, value, note, level, children }: TileProps): JSX.Element {
  return (
    <div class={`tile ${level}`}>
      <h2>{title}</h2>
      <p class="value">{value}</p>
      {children}
      <p class="note">{note}</p>
    </div>
  );
}
