/** Formats accepted events as text on one line that is safe to print: who did what, or who talked to whom. */
import type { AcceptedEvent } from "../admin/events/index.ts";
import { eventWords } from "../catalogue/event-words.ts";
import type { LogAttributes } from "../catalogue/log-event.ts";
import { cutColumns, printable } from "../lib/text.ts";

/** The event without its time and type. */
export function eventText(event: AcceptedEvent): string {
  switch (event.type) {
    case "flow":
      return flowText(event.attributes);
    case "audit":
      return auditText(event);
    case "webhook":
      return webhookText(event);
  }
}

/** The removed and added lines, if the event is a change of the policy file. */
export function diffOf({ attributes }: AcceptedEvent): readonly string[] {
  const diff = attributes["tailscale.audit.diff"];
  return typeof diff === "string" ? diff.split("\n").map((line) => shown(line, 160)) : [];
}

export function count(amount: number): string {
  return Math.round(amount).toLocaleString("en-US");
}

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Decimal units with three digits. */
export function bytes(amount: number): string {
  let scaled = amount;
  let power = 0;
  for (; scaled >= 999.5 && power < units.length - 1; power++) scaled /= 1000;
  return `${power === 0 ? String(scaled) : scaled.toPrecision(3)} ${units[power]}`;
}

const nameColumns = 64;
const valueColumns = 120;
const messageColumns = 400;

/** A value made safe for a terminal and cut to `columns`. */
function shown(value: unknown, columns = nameColumns): string {
  return cutColumns(printable([value].flat().join(", ")), columns);
}

function flowText(attributes: LogAttributes): string {
  const of = (name: string) => attributes[name];
  const path = of("tailscale.path");
  const from = endText(of("tailscale.src.node"), of("source.address"), undefined);
  const to =
    path === "derp"
      ? `DERP region ${shown(of("tailscale.derp.region_id") ?? "?")}`
      : endText(of("tailscale.dst.node"), of("destination.address"), of("destination.port"));
  const words = [of("network.transport"), of("tailscale.dst.service")].filter((word) => word !== "unknown");
  const sums = `tx ${bytes(Number(of("tailscale.tx.bytes")))}, rx ${bytes(Number(of("tailscale.rx.bytes")))}`;
  const parts = [`${from} → ${to}`, wordsOf(words, " "), sums, wordsOf([of("tailscale.traffic_type"), path], ", ")];
  return parts.filter((part) => part !== "").join("  ");
}

function wordsOf(words: readonly unknown[], separator: string): string {
  return shown(words.filter((word) => word !== undefined).join(separator));
}

/** The node's own name if it has one, otherwise the address. */
function endText(node: unknown, address: unknown, port: unknown): string {
  const isNamed = typeof node === "string" && node !== "unknown" && node !== "external";
  const name = isNamed || address === undefined ? (node ?? "?") : address;
  const host = port !== undefined && !isNamed && String(name).includes(":") ? `[${String(name)}]` : name;
  return port === undefined ? shown(host) : `${shown(host)}:${shown(port)}`;
}

function auditText(event: AcceptedEvent): string {
  const { actor, what, target, failure } = eventWords(event);
  const origin = `via ${shown(event.attributes["tailscale.audit.origin"] ?? "")}`;
  const words = [shown(what), shown(target), origin].filter((word) => word !== "").join(" ");
  const failed = failure === "" ? "" : `, ${shown(failure, messageColumns)}`;
  return `${shown(actor || "Tailscale")}: ${words}${failed}${changeText(event.attributes)}`;
}

/** Old and new value; empty for a policy file, which is shown as a diff instead. */
function changeText(attributes: LogAttributes): string {
  const [old, next] = [attributes["tailscale.audit.old"], attributes["tailscale.audit.new"]];
  if (attributes["tailscale.audit.diff"] !== undefined || (old === undefined && next === undefined)) return "";
  return `: ${shown(old ?? "nothing", valueColumns)} → ${shown(next ?? "nothing", valueColumns)}`;
}

function webhookText({ body, attributes }: AcceptedEvent): string {
  const who = attributes["tailscale.webhook.actor"];
  const by = who === undefined ? "" : ` (by ${shown(who)})`;
  return `${shown(attributes["tailscale.webhook.type"])}: ${shown(body, messageColumns)}${by}`;
}
