/** A moment of the demo as text: a whole frame for a terminal, a few lines for a pipe. */
import type { LogEvent } from "../catalogue/log-event.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import type { Moment, Sums } from "./moment.ts";
import type { Talker } from "./talkers.ts";

const barColumns = 24;
const talkerColumns = 34;

/** In a pipe, at most this many events of a kind are written at a look. */
const eventLines = 3;

/** On a terminal, so that all of it is seen on one of 24 lines. */
const shownEvents = 3;

/** The frame that a terminal shows; `notices` are warnings that came up meanwhile. */
export function frameOf(moment: Moment, notices: readonly string[]): readonly string[] {
  return [
    "",
    `  ${duration(moment.elapsedMs)}   ${count(moment.entriesPerSecond)} connection entries/s, ${count(moment.entries)} counted`,
    `  sent   ${sentText(moment)}`,
    "",
    ...sumsOf(moment.sums).map((line) => `  ${line}`),
    "",
    "  Top talkers",
    ...talkerLines(moment.talkers),
    "",
    "  Last audit events (UTC)",
    ...moment.changes.slice(-shownEvents).map((event) => `  ${changeText(event)}`),
    "",
    "  Last webhook events (UTC)",
    ...moment.visits.slice(-shownEvents).map((event) => `  ${visitText(event)}`),
    ...(notices.length > 0 ? ["", ...notices.map((notice) => `  ! ${notice}`)] : []),
  ];
}

/** What a pipe gets at each look. */
export function linesOf(moment: Moment): readonly string[] {
  const { sums, talkers, changes, newChanges, visits, newVisits } = moment;
  const top = talkers[0];
  const topText = top === undefined ? "" : `; top ${top.from} ↔ ${top.to} ${bytes(top.bytes)}`;
  const fate = `${count(sums.accepted)} records accepted, ${count(sums.delivered)} delivered, ${count(sums.pending)} pending`;
  const at = duration(moment.elapsedMs);
  return [
    `${at} ${count(moment.entriesPerSecond)} entries/s; ${fate}${topText}`,
    ...latest(changes, newChanges).map((event) => `${at} audit ${changeText(event)}`),
    ...latest(visits, newVisits).map((event) => `${at} webhook ${visitText(event)}`),
  ];
}

/** The new ones of a list, at most so many. */
function latest(events: readonly LogEvent[], newEvents: number): readonly LogEvent[] {
  const shown = Math.min(newEvents, eventLines, events.length);
  return shown === 0 ? [] : events.slice(-shown);
}

/** What remains at the end: the sums, and whether they hold. */
export function closingOf(moment: Moment): readonly string[] {
  return [`sent: ${sentText(moment)}`, ...sumsOf(moment.sums)];
}

/** The two sums of conservation, each with its verdict. */
export function sumsOf(sums: Sums): readonly string[] {
  const { received, accepted, duplicate, skipped, quarantined, delivered, pending, deadLettered } = sums;
  const inbound = accepted + duplicate + skipped + quarantined;
  const outbound = delivered + pending + deadLettered;
  return [
    `received ${count(received)} ${received === inbound ? "=" : "≠"} accepted ${count(accepted)} + duplicate ${count(duplicate)} + skipped ${count(skipped)} + quarantined ${count(quarantined)}`,
    `accepted ${count(accepted)} ${accepted === outbound ? "=" : "≠"} delivered ${count(delivered)} + pending ${count(pending)} + dead-lettered ${count(deadLettered)}`,
  ];
}

function sentText({ sent }: Moment): string {
  const times = sent.acknowledgementMs.toSorted((left, right) => left - right);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const slow = times[Math.floor(times.length * 0.99)] ?? 0;
  const sizes = `${count(sent.requests)} requests, ${count(sent.records)} records, ${bytes(sent.bytes)} on the wire, ${count(sent.retries)} repeated`;
  return `${sizes}; answered in ${median} ms (p50), ${slow} ms (p99)`;
}

function talkerLines(talkers: readonly Talker[]): string[] {
  const most = talkers[0]?.bytes ?? 1;
  return talkers.map(({ from, to, bytes: amount }) => {
    const bar = "█".repeat(Math.max(1, Math.round((amount / most) * barColumns)));
    return `  ${`${from} ↔ ${to}`.padEnd(talkerColumns)} ${bytes(amount).padStart(9)} ${bar}`;
  });
}

function changeText(event: LogEvent): string {
  const { attributes } = event;
  const who = attributes["user.name"] ?? attributes["user.full_name"] ?? "Tailscale";
  const target = attributes["tailscale.target.name"];
  return `${timeOf(event)} ${String(who)}: ${event.body}${target === undefined ? "" : ` (${String(target)})`}`;
}

function visitText(event: LogEvent): string {
  const type = String(event.attributes["tailscale.webhook.type"]);
  return `${timeOf(event)} ${type}: ${event.body}`;
}

/** The time of day. */
function timeOf({ time }: LogEvent): string {
  return new Date(millisOfHrTime(time)).toISOString().slice(11, 19);
}

/** Minutes and seconds. */
function duration(millis: number): string {
  const seconds = Math.floor(millis / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function count(amount: number): string {
  return Math.round(amount).toLocaleString("en-US");
}

/** Decimal units, three digits. */
function bytes(amount: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let scaled = amount;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(scaled) : scaled.toPrecision(3)} ${units[unit]}`;
}
