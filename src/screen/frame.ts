/** Renders one moment of a running instance as a frame for a terminal or as lines for a pipe. */
import type { AcceptedEvent } from "../admin/events/index.ts";
import { columnsOf, cutColumns, printable } from "../lib/text.ts";
import { bytes, count, eventText } from "./event-text.ts";
import type { Moment } from "./look.ts";

export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  readonly hasColor: boolean;
  /** Lines above all others, for example what is being watched. */
  readonly head: readonly string[];
  /** Problems, worded for people. */
  readonly notices: readonly string[];
}

/** A line and its ANSI style. */
interface Line {
  readonly text: string;
  readonly style?: number;
}

const bold = 1;
const dim = 2;
const yellow = 33;

const roomyRows = 16;

/** Smaller widths are treated as this one; lines are then cut to the real width. */
const minColumns = 40;

/** Lines cut to the size of the terminal. If there are few rows, the sums are dropped last. */
export function frameOf(moment: Moment, { columns, rows, hasColor, head, notices }: FrameOptions): readonly string[] {
  const width = Math.max(minColumns, columns) - 3;
  const wrapped = (lines: readonly string[], style?: number): Line[] =>
    lines.flatMap((line) => wrap(printable(line), width)).map((text) => ({ text, ...(style && { style }) }));
  const { overview, events } = moment;
  const summary = wrapped(summaryOf(moment));
  const { notReady, degraded } = overview;
  const troubles = wrapped(
    [...notReady.map((why) => `not accepting: ${why}`), ...degraded, ...notices].map((text) => `! ${text}`),
    yellow,
  );
  // If there is room, sections are separated by blank lines and the whole head is shown.
  const gap = rows >= roomyRows ? 1 : 0;
  const heads =
    gap === 1 ? wrapped(head, dim) : head.slice(0, 1).map((text) => ({ text: printable(text), style: dim }));
  const fixed: (readonly Line[])[] = [heads, summary, troubles];
  const used = fixed.reduce((sum, lines) => sum + (lines.length === 0 ? 0 : lines.length + gap), 0);
  const left = Math.max(0, rows - used);
  const shownEvents = Math.min(events.length, Math.max(0, Math.floor((left - 2) / 2)));
  const shownTalkers = Math.max(0, left - shownEvents - 2 - gap);
  const sections: (readonly Line[])[] = [
    ...fixed,
    [
      { text: `Top talkers since ${overview.talkersSince.slice(11, 19)} UTC`, style: bold },
      ...talkerLines(moment, shownTalkers, width),
    ],
    [{ text: "Latest audit and webhook events (UTC)", style: bold }, ...events.slice(-shownEvents).map(eventLine)],
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .flatMap((lines, section) => (gap === 0 || section === 0 ? lines : [{ text: "" }, ...lines]))
    .slice(0, rows)
    .map((line: Line) => {
      const text = cutColumns(line.text === "" ? "" : `  ${line.text}`, columns - 1);
      return hasColor && line.style !== undefined ? `\u001b[${line.style}m${text}\u001b[0m` : text;
    });
}

/** The lines printed to a pipe per look. */
export function linesOf({ overview, entriesPerSecond, fresh }: Moment, notices: readonly string[] = []): string[] {
  const { conservation: sums, destinations = [] } = overview;
  const others = destinations.map(
    ({ name, records }) => `; ${name} ${count(records.delivered)} delivered, ${count(records.pending)} pending`,
  );
  const [top] = overview.talkers;
  const topText = top === undefined ? "" : `; top ${top.from} ↔ ${top.to} ${bytes(top.bytes)}`;
  const fate = `${count(sums.accepted)} records accepted, ${count(sums.delivered)} delivered, ${count(sums.pending)} pending`;
  const lines = [
    `${count(entriesPerSecond)} entries/s; ${fate}${others.join("")}${topText}`,
    ...[...overview.notReady, ...overview.degraded, ...notices].map((text) => `! ${text}`),
    ...fresh.map((event) => eventLine(event).text),
  ];
  return lines.map((line) => `${uptime(overview)} ${printable(line)}`);
}

/** The two conservation sums and that of each further destination, with `=` or `≠` to show whether they hold. */
export function sumsOf({ overview: { conservation: sums, destinations = [] } }: Pick<Moment, "overview">): string[] {
  const { received, accepted, duplicate, skipped, quarantined, delivered, pending, deadLettered } = sums;
  const { uncounted, lost } = sums;
  const inbound = received === accepted + duplicate + skipped + quarantined ? "=" : "≠";
  const outbound = accepted + uncounted === delivered + pending + deadLettered + lost ? "=" : "≠";
  const rare = (amount: number, name: string): string => (amount === 0 ? "" : ` + ${name} ${count(amount)}`);
  const ofDestination = ({ name, records: of }: (typeof destinations)[number]): string => {
    const verdict = of.accepted === of.delivered + of.pending + of.deadLettered + of.evicted ? "=" : "≠";
    return `${name}: accepted ${count(of.accepted)} ${verdict} delivered ${count(of.delivered)} + pending ${count(of.pending)} + dead-lettered ${count(of.deadLettered)}${rare(of.evicted, "evicted")}`;
  };
  return [
    `received ${count(received)} ${inbound} accepted ${count(accepted)} + duplicate ${count(duplicate)} + skipped ${count(skipped)} + quarantined ${count(quarantined)}`,
    `accepted ${count(accepted)}${rare(uncounted, "uncounted")} ${outbound} delivered ${count(delivered)} + pending ${count(pending)} + dead-lettered ${count(deadLettered)}${rare(lost, "lost")}`,
    ...destinations.map(ofDestination),
  ];
}

function summaryOf(moment: Moment): readonly string[] {
  const { overview, entriesPerSecond, recordsPerSecond } = moment;
  const { counters, pendingSince, destinations = [], at } = overview;
  const oldest = (since: string | undefined, of: string): string[] => {
    const waiting = since === undefined ? 0 : Date.parse(at) - Date.parse(since);
    return waiting < 5000 ? [] : [`oldest record in the backlog${of} received ${duration(waiting)} ago`];
  };
  return [
    `up ${uptime(overview)}   ${count(entriesPerSecond)} connection entries/s, ${count(overview.entries)} counted   ${count(recordsPerSecond)} records/s`,
    ...sumsOf(moment),
    ...oldest(pendingSince, ""),
    ...destinations.flatMap(({ name, records }) => oldest(records.pendingSince, ` of ${name}`)),
    ...(counters.kind === "current"
      ? []
      : [`counters are being restored: row ${counters.measuredRow} of ${counters.lastRow}`]),
  ];
}

function talkerLines({ overview: { talkers } }: Moment, most: number, width: number): readonly Line[] {
  // If a line is too narrow, the names are cut, not the amount.
  const namesWidth = Math.max(8, Math.min(48, width - 12));
  const barWidth = Math.max(0, Math.min(24, width - namesWidth - 12));
  const greatest = talkers[0]?.bytes ?? 1;
  return talkers.slice(0, most).map(({ from, to, bytes: amount }) => {
    const bar = "█".repeat(Math.max(1, Math.round((amount / greatest) * barWidth)));
    const names = cutColumns(printable(`${from} ↔ ${to}`), namesWidth);
    const padding = " ".repeat(namesWidth - columnsOf(names));
    return { text: `${names}${padding} ${bytes(amount).padStart(9)} ${barWidth > 0 ? bar : ""}`.trimEnd() };
  });
}

function eventLine(event: AcceptedEvent): Line {
  const text = `${event.type} ${event.time.slice(11, 19)} ${eventText(event)}`;
  return event.severity === "WARN" ? { text, style: yellow } : { text };
}

/** Breaks a line at spaces and indents continuation rows. */
function wrap(line: string, width: number): readonly string[] {
  const rows: string[] = [];
  for (const word of line.split(" ")) {
    const last = rows.at(-1);
    if (last !== undefined && columnsOf(last) + 1 + columnsOf(word) <= width) rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(last === undefined ? word : `  ${word}`);
  }
  return rows;
}

function uptime({ at, startedAt }: Moment["overview"]): string {
  return duration(Date.parse(at) - Date.parse(startedAt));
}

/** For example `1:05`, `2:00:00`, `3d 4:00:00`. */
function duration(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  const two = (amount: number): string => String(amount).padStart(2, "0");
  const clock = hours + days === 0 ? String(minutes) : `${hours}:${two(minutes)}`;
  return `${days === 0 ? "" : `${days}d `}${clock}:${two(seconds % 60)}`;
}
