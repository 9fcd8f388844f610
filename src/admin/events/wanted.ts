/** Which events are asked for: by type, severity, node and free text. What the head of a row tells is decided without decoding the row. */
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
  /** Patterns for the name or address of either end, in which `*` and `?` are wildcards; one has to match. Empty: all. */
  readonly nodes: readonly string[];
  /** At least. */
  readonly severity?: Severity;
  /** Words that all have to be in the event, ignoring case: each in its name, its body, the value of an attribute, or the words in which the page shows it. */
  readonly text?: string;
}

/** Whether attributes name an end that is asked for; those of an event, or those that many connections share. */
export type NamesEnd = (of: { readonly attributes: LogAttributes }) => boolean;

export interface Wanted {
  /** Whether the row may hold such events. */
  readonly inRow: (head: Pick<RowHead, "type">) => boolean;
  /** `undefined`: every end is asked for. */
  readonly end: NamesEnd | undefined;
  /** Whether an event whose end is asked for is asked for itself. `undefined`: each one is. */
  readonly event: ((event: LogEvent) => boolean) | undefined;
}

/** The filter as questions: first about the head of a row, then about an end, last about an event. */
export function wantedOf({ types, nodes, severity = "INFO", text = "" }: EventFilter): Wanted {
  const least = severityNumbers[severity];
  const words = wordsOf(text);
  // Connections are never more than information.
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

/** Each only once, without those that are inside of another. */
function wordsOf(text: string): readonly string[] {
  const words = text.toLowerCase().split(/\s+/);
  return words.filter(
    (word, at) => !words.some((other, n) => n !== at && other.includes(word) && (other !== word || n < at)),
  );
}

/** Values are divided by line breaks, which are in no word. What a person reads in a list is found as well. */
function hasWords(event: LogEvent, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const { name, body, attributes } = event;
  const shown = name === flowEventName ? [] : Object.values(eventWords(event));
  const all = [name, body, ...Object.values(attributes).flat(), ...shown].join("\n").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** Attributes that name an end of an event. */
const endAttributes = [
  "tailscale.src.node",
  "tailscale.dst.node",
  "source.address",
  "destination.address",
  "tailscale.target.name",
  "tailscale.webhook.node.device.name",
];

/** A pattern has to match all of a name, or a name up to its first dot. */
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
