/** The output of the demo: a snapshot of the running program, as a frame on a terminal or as lines in a pipe. */
import type { App } from "../app.ts";
import type { LogEvent } from "../catalogue/log-event.ts";
import { seriesOf } from "../ledger/index.ts";
import { type Clock, millisOfHrTime } from "../lib/clock.ts";
import type { Conservation } from "../pipeline/observe.ts";
import type { SenderTotals } from "./sender.ts";

export interface Moment {
  readonly elapsedMs: number;
  readonly sent: SenderTotals;
  readonly sums: Conservation;
  /** Connection entries counted up to the last fold. */
  readonly entries: number;
  readonly entriesPerSecond: number;
  readonly talkers: readonly Talker[];
  /** The latest audit events and the latest webhook events, oldest first, and those of them that are new since the last look. */
  readonly events: readonly LogEvent[];
  readonly fresh: readonly LogEvent[];
}

/** Two nodes and the bytes between them, both directions together. */
export interface Talker {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}

const foldsForRate = 6;
const shownTalkers = 5;
/** Of a kind: all of it fits on a terminal of 24 lines, and a pipe is not flooded. */
const shownEvents = 3;

/** Rows of events to read in one look; the rest is read at the next. */
const eventsPerRead = 2000;
const readsPerLook = 10;

/** Takes snapshots of the program; call the result about once a second. */
export function createLook(
  app: Pick<App, "status" | "ledger" | "events">,
  sent: SenderTotals,
  clock: Clock,
): () => Moment {
  const began = clock();
  const folds: { readonly at: number; readonly entries: number }[] = [];
  let events: readonly LogEvent[] = [];
  let nextSeq = 0;
  return () => {
    const fresh: LogEvent[] = [];
    for (let read = 0; read < readsPerLook; read++) {
      const page = app.events(nextSeq, eventsPerRead);
      fresh.push(...page.events.filter(({ name }) => name !== "tailscale.network.flow"));
      if (page.nextSeq === nextSeq) break;
      nextSeq = page.nextSeq;
    }
    const kinds = Map.groupBy([...events, ...fresh], isAudit);
    events = [true, false].flatMap((kind) => kinds.get(kind)?.slice(-shownEvents) ?? []);
    const { at, metrics } = app.ledger();
    const series = (name: string) => metrics.filter((one) => one.name === name).flatMap((one) => [...seriesOf(one)]);
    const entries = series("tailscale.network.flows").reduce((sum, { value }) => sum + value, 0);
    if (folds.at(-1)?.at !== at) folds.push({ at, entries });
    if (folds.length > foldsForRate) folds.shift();
    const oldest = folds[0] ?? { at, entries };
    return {
      elapsedMs: clock() - began,
      sent,
      sums: app.status().conservation,
      entries,
      entriesPerSecond: at === oldest.at ? 0 : ((entries - oldest.entries) * 1000) / (at - oldest.at),
      talkers: topTalkers(series("tailscale.network.io.rollup"), shownTalkers),
      events,
      fresh: fresh.filter((event) => events.includes(event)),
    };
  };
}

interface Series {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

/**
 * The pairs with the most bytes, greatest first. Both ends report a flow, so a pair appears once for each reporter:
 * the larger report is used, not their sum. Physical traffic is left out; it is the same bytes once more.
 */
export function topTalkers(series: readonly Series[], limit: number): readonly Talker[] {
  const reports = new Map<string, Talker>();
  for (const { attributes, value } of series) {
    const { "tailscale.src.node": from, "tailscale.dst.node": to, "tailscale.traffic_type": traffic } = attributes;
    if (typeof from !== "string" || typeof to !== "string" || from === "__other__" || traffic === "physical") continue;
    const key = `${from} ${to}`;
    reports.set(key, { from, to, bytes: (reports.get(key)?.bytes ?? 0) + value });
  }
  const pairs = new Map<string, Talker>();
  for (const report of reports.values()) {
    const key = [report.from, report.to].toSorted().join(" ");
    if (report.bytes > (pairs.get(key)?.bytes ?? -1)) pairs.set(key, report);
  }
  return [...pairs.values()].toSorted((left, right) => right.bytes - left.bytes).slice(0, limit);
}

/** The frame for a terminal of that many columns; `notices` are warnings of the program. */
export function frameOf(moment: Moment, notices: readonly string[], columns: number): readonly string[] {
  const width = columns - 3;
  // Of two names and an amount, the names are cut.
  const namesWidth = Math.max(8, Math.min(34, width - 10));
  const most = moment.talkers[0]?.bytes ?? 1;
  const sections = [
    [
      `${duration(moment.elapsedMs)}   ${count(moment.entriesPerSecond)} connection entries/s, ${count(moment.entries)} counted`,
      ...sumsOf(moment),
    ].flatMap((line) => wrap(line, width)),
    notices.flatMap((notice) => wrap(`! ${notice}`, width)),
    [
      "Top talkers",
      ...moment.talkers.map(({ from, to, bytes: amount }) => {
        const bar = "█".repeat(Math.max(1, Math.round((amount / most) * 24)));
        return `${cut(`${from} ↔ ${to}`, namesWidth).padEnd(namesWidth)} ${bytes(amount).padStart(9)} ${bar}`;
      }),
    ],
    ["Latest audit and webhook events (UTC)", ...moment.events.map(eventText)],
  ];
  return sections.flatMap((lines) => (lines.length === 0 ? [] : ["", ...lines.map((line) => `  ${line}`)]));
}

/** What a pipe gets at each look. */
export function linesOf({ elapsedMs, entriesPerSecond, sums, talkers: [top], fresh }: Moment): string[] {
  const topText = top === undefined ? "" : `; top ${top.from} ↔ ${top.to} ${bytes(top.bytes)}`;
  const fate = `${count(sums.accepted)} records accepted, ${count(sums.delivered)} delivered, ${count(sums.pending)} pending`;
  const lines = [`${count(entriesPerSecond)} entries/s; ${fate}${topText}`, ...fresh.map(eventText)];
  return lines.map((line) => `${duration(elapsedMs)} ${line}`);
}

/** What was sent, and the two conservation sums, each with its verdict. */
export function sumsOf({ sent, sums }: Moment): readonly string[] {
  const { received, accepted, duplicate, skipped, quarantined, delivered, pending, deadLettered } = sums;
  const inbound = received === accepted + duplicate + skipped + quarantined ? "=" : "≠";
  const outbound = accepted === delivered + pending + deadLettered ? "=" : "≠";
  const times = sent.acknowledgementMs.toSorted((left, right) => left - right);
  const quantile = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return [
    `sent: ${count(sent.requests)} requests, ${count(sent.records)} records, ${bytes(sent.bytes)} on the wire, ${count(sent.retries)} retries; answered in ${quantile(0.5)} ms (p50), ${quantile(0.99)} ms (p99)`,
    `received ${count(received)} ${inbound} accepted ${count(accepted)} + duplicate ${count(duplicate)} + skipped ${count(skipped)} + quarantined ${count(quarantined)}`,
    `accepted ${count(accepted)} ${outbound} delivered ${count(delivered)} + pending ${count(pending)} + dead-lettered ${count(deadLettered)}`,
  ];
}

/** Draws each frame over the one before, and leaves the last one on the screen. Long lines are cut. */
export function createScreen(output: { columns(): number; rows(): number; write(text: string): void }) {
  let drawnRows = 0;
  return (lines: readonly string[]): void => {
    const shown = lines.slice(0, Math.max(1, output.rows() - 1)).map((line) => cut(line, output.columns() - 1));
    const home = drawnRows > 0 ? `\u001b[${drawnRows}A\r` : "";
    output.write(`${home}${shown.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
    drawnRows = shown.length;
  };
}

/** Breaks a line at spaces; what follows the first row is indented. */
function wrap(line: string, width: number): readonly string[] {
  const rows: string[] = [];
  for (const word of line.split(" ")) {
    const last = rows.at(-1);
    if (last !== undefined && [...last].length + 1 + [...word].length <= width)
      rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(last === undefined ? word : `  ${word}`);
  }
  return rows;
}

function cut(line: string, columns: number): string {
  const characters = [...line];
  return characters.length <= columns ? line : `${characters.slice(0, Math.max(0, columns - 1)).join("")}…`;
}

function isAudit({ name }: LogEvent): boolean {
  return name === "tailscale.config.audit";
}

function eventText(event: LogEvent): string {
  const { time, body, attributes } = event;
  const at = new Date(millisOfHrTime(time)).toISOString().slice(11, 19);
  const type = attributes["tailscale.webhook.type"];
  if (!isAudit(event)) return `webhook ${at} ${String(type)}: ${body}`;
  const who = attributes["user.name"] ?? attributes["user.full_name"] ?? "Tailscale";
  const target = attributes["tailscale.target.name"];
  return `audit ${at} ${String(who)}: ${body}${target === undefined ? "" : ` (${String(target)})`}`;
}

function duration(millis: number): string {
  const seconds = Math.floor(millis / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function count(amount: number): string {
  return Math.round(amount).toLocaleString("en-US");
}

/** Decimal units, three digits. */
function bytes(amount: number): string {
  const power = amount < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(amount) / 3));
  const scaled = amount / 1000 ** power;
  return `${power === 0 ? String(scaled) : scaled.toPrecision(3)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}
