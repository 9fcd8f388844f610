/** Filters events by type, severity, node and free text; what the head of a row tells is decided without decoding the row. */
import { eventWords } from "../../catalogue/event-words.ts";
import {
  flowEventName,
  type LogAttributes,
  type LogEvent,
  type Severity,
  severityNumbers,
} from "../../catalogue/log-event.ts";
import { globMatcher } from "../../lib/text.ts";
import type { RowHead } from "../../journal/index.ts";
import { type RecordType, recordTypes } from "../../records/types.ts";

export interface EventFilter {
  /** Empty: all. */
  readonly types: readonly RecordType[];
  /** Patterns for the name or address of either end, with the wildcards `*` and `?`; one has to match. Empty: all. */
  readonly nodes: readonly string[];
  /** Minimum severity. */
  readonly severity?: Severity;
  /** Words that must all occur, ignoring case: each in the event's name, body, an attribute value, or the words on the page. */
  readonly text?: string;
}

/** True if attributes name a wanted end; they may be those of an event, or those that many connections share. */
export type NamesEnd = (of: { readonly attributes: LogAttributes }) => boolean;

export interface Wanted {
  /** True if the row may contain wanted events. */
  readonly inRow: (head: Pick<RowHead, "type">) => boolean;
  /** `undefined` if every end is wanted. */
  readonly end: NamesEnd | undefined;
  /** True if an event with a wanted end is wanted itself. `undefined` if every one is. */
  readonly event: ((event: LogEvent) => boolean) | undefined;
}

/** The filter as predicates: on the head of a row, then on an end, then on an event. */
export function wantedOf({ types, nodes, severity = "INFO", text = "" }: EventFilter): Wanted {
  const least = severityNumbers[severity];
  const words = wordsOf(text);
  // Connections are never above INFO.
  const isPossible = (type: RecordType): boolean => type !== "flow" || least <= severityNumbers.INFO;
  const possible = new Set<RowHead["type"]>((types.length === 0 ? recordTypes : types).filter(isPossible));
  const isSevere = (event: LogEvent): boolean => severityNumbers[event.severity] >= least;
  return {
    inRow: ({ type }) => possible.has(type),
    end: namesEndOf(nodes),
    event:
      words.length === 0 && least <= severityNumbers.INFO
        ? undefined
        : (event) => isSevere(event) && hasWords(event, words),
  };
}

/** Each word once, without those contained in another one. */
function wordsOf(text: string): readonly string[] {
  const words = text.toLowerCase().split(/\s+/);
  return words.filter(
    (word, at) => !words.some((other, n) => n !== at && other.includes(word) && (other !== word || n < at)),
  );
}

/** Values are separated by line breaks, which no word contains. The words shown in a list count too. */
function hasWords(event: LogEvent, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const { name, body, attributes } = event;
  const shown = name === flowEventName ? [] : Object.values(eventWords(event));
  const all = [name, body, ...Object.values(attributes).flat(), ...shown].join("\n").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** Attributes that name one end of an event. */
const endAttributes = [
  "tailscale.src.node",
  "tailscale.dst.node",
  "source.address",
  "destination.address",
  "tailscale.target.name",
  "tailscale.webhook.node.device.name",
];

/** A pattern has to match the whole name, or the name up to its first dot. */
function namesEndOf(patterns: readonly string[]): NamesEnd | undefined {
  if (patterns.length === 0) return undefined;
  const matchers = patterns.map(globMatcher);
  const isNamed = (name: string): boolean =>
    matchers.some((matches) => matches(name) || matches(name.replace(/\..*$/s, "")));
  const known = new WeakMap<object, boolean>();
  return (of) => {
    let isWanted = known.get(of);
    if (isWanted === undefined) {
      isWanted = endAttributes.some((name) => [of.attributes[name] ?? []].flat().map(String).some(isNamed));
      known.set(of, isWanted);
    }
    return isWanted;
  };
}
