/** Parses the queries and bodies of requests to the admin listener: every member is checked, and unknown ones are refused. */
import { type Severity, severityNumbers } from "../catalogue/log-event.ts";
import { Refusal } from "../errors.ts";
import type { Redelivery } from "../journal/index.ts";
import { parseDuration } from "../lib/units.ts";
import { isObject } from "../records/members.ts";
import { recordTypes } from "../records/types.ts";
import { type EventQuery, maxEvents, maxTextCharacters, maxWaitMs } from "./events/index.ts";
import { itemClasses, type ItemQuery, itemTypes, maxListed, type Selection, type TimeRange } from "./operations.ts";
import { redeliveryNames } from "./redeliveries.ts";
import { type MapQuery, maxPairs, type SeriesQuery } from "./traffic/index.ts";

/** The URL is only a path if `Host` is not valid. */
export function parametersOf(url: string): URLSearchParams {
  const query = url.indexOf("?");
  return new URLSearchParams(query < 0 ? "" : url.slice(query + 1));
}

/** True if a text has the form of an item's id: `<row>.<line>` for a stored line, `m<number>` for a mark. */
export function isItemId(text: unknown): text is string {
  return typeof text === "string" && /^(?:[1-9]\d{0,14}\.(?:0|[1-9]\d{0,8})|m[1-9]\d{0,14})$/.test(text);
}

/** The query of `/api/v1/quarantine`. @throws {Refusal} `unparsable`, like every parser below. */
export function queryOf(parameters: URLSearchParams): ItemQuery {
  const given = Object.fromEntries(
    [...parameters].map(([name, text]) => [name, name === "limit" || name === "before" ? Number(text) : text]),
  );
  const { limit = 100, ...query } = read(given, [...filterMembers, "limit", "beforeId"]) as Partial<ItemQuery>;
  if (limit < 1 || limit > maxListed) throw bad(`limit must be 1 to ${maxListed}`);
  return { ...query, limit };
}

/** The query of `/api/v1/quarantine/item`. */
export function itemIdOf(parameters: URLSearchParams): string {
  return String(read({ id: parameters.get("id") }, ["id"])["id"]);
}

/** Maximum number of node patterns, and characters of each. */
const maxNodes = 20;
const maxPattern = 256;

/** Parameters of `/api/v1/events` that are strings. */
const eventTexts = new Set(["from", "text", "severity"]);

/** The query of `/api/v1/events`. */
export function eventQueryOf(parameters: URLSearchParams): EventQuery {
  const { before, ...texts } = Object.fromEntries(parameters);
  const given = Object.fromEntries(
    Object.entries(texts).map(([name, text]) => {
      if (name === "types" || name === "nodes") return [name, text === "" ? [] : text.split(",")];
      if (name === "wait") return [name, parseDuration(text)];
      return [name, eventTexts.has(name) ? text : text === "" ? Number.NaN : Number(text)];
    }),
  );
  const names = ["from", "since", "last", "until", "types", "nodes", "severity", "text", "limit", "wait"];
  const query = read(given, names) as EventParameters;
  const { limit = 500, wait: waitMs = 0, types = [], nodes = [], severity, ...rest } = query;
  const { from, since, last, until } = rest;
  if (limit < 1 || limit > maxEvents) throw bad(`limit must be 1 to ${maxEvents}`);
  if ([from, since, last].filter((start) => start !== undefined).length > 1)
    throw bad("only one of from, since and last can be given");
  if (last === undefined && (before ?? until) !== undefined) throw bad("before and until require last");
  if (before !== undefined && until !== undefined) throw bad("only one of before and until can be given");
  return {
    ...rest,
    ...(before === undefined ? {} : { before }),
    ...(severity === undefined ? {} : { severity: severity.toUpperCase() as Severity }),
    types,
    nodes,
    limit: Math.max(limit, last ?? 0),
    waitMs,
  };
}

interface EventParameters extends Partial<Omit<EventQuery, "severity" | "waitMs">> {
  readonly severity?: string;
  readonly wait?: number;
}

/** The id of `/api/v1/events/item`. */
export function eventIdOf(parameters: URLSearchParams): string {
  const { id, ...others } = Object.fromEntries(parameters);
  read(others, []);
  if (id === undefined) throw bad("id is missing");
  return id;
}

/** The queries of `/api/v1/traffic` and `/api/v1/map`. */
export function seriesQueryOf(parameters: URLSearchParams): SeriesQuery {
  const { node } = read({ node: parameters.getAll("node") }, ["node"]);
  return { ...minutesOf(parameters, ["node"]), nodes: node as readonly string[] };
}

export function mapQueryOf(parameters: URLSearchParams): MapQuery {
  const { limit = 500, ...range } = minutesOf(parameters, ["limit"]);
  if (limit < 1 || limit > maxPairs) throw bad(`limit must be 1 to ${maxPairs}`);
  return { ...range, limit };
}

function minutesOf(parameters: URLSearchParams, more: readonly string[]): Partial<MapQuery> {
  const numbers = [...parameters].filter(([name]) => name !== "node" || !more.includes(name));
  const given = Object.fromEntries(numbers.map(([name, text]) => [name, text === "" ? Number.NaN : Number(text)]));
  const range: Partial<MapQuery> = read(given, ["since", "until", ...more]);
  if ((range.since ?? 0) > (range.until ?? Number.MAX_SAFE_INTEGER)) throw bad("until is before since");
  return range;
}

/** The token of a sign-in. */
export function tokenOf(body: unknown): string {
  return String(read(body, ["token"])["token"] ?? "");
}

export function selectionOf(body: unknown): Selection {
  const selection = read(body, [...filterMembers, "ids", "beforeId"]) as Selection;
  const { beforeId: _, ids, ...filter } = selection;
  if (ids !== undefined) return { ...selection, ids: [...new Set(ids)] };
  if (Object.keys(filter).length === 0) throw bad("nothing is selected: give ids or a class");
  return selection;
}

export function purgeOf(body: unknown): [Selection, "keep" | "delete"] {
  const { deadLetters = "keep", ...selection } = read(body, [...filterMembers, "ids", "beforeId", "deadLetters"]);
  return [selectionOf(selection), deadLetters as "keep" | "delete"];
}

export function rangeOf(body: unknown): TimeRange {
  const range = read(body, ["since", "until", "destination"]) as Partial<TimeRange>;
  const { since, until } = range;
  if (since === undefined) throw bad("since is missing");
  if (until !== undefined && until < since) throw bad("until is before since");
  return { ...range, since };
}

export function cancelOf(body: unknown): [Redelivery["name"], destination: string | undefined] {
  const { name = "replay", destination } = read(body, ["name", "destination"]);
  return [name as Redelivery["name"], destination as string | undefined];
}

const filterMembers = ["class", "reason", "type", "before", "destination"];

type Rule = readonly [isValid: (value: unknown) => boolean, whatItMustBe: string];

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const areNodes = (value: unknown): boolean =>
  (value as string[]).length <= maxNodes &&
  (value as string[]).every(({ length }) => length > 0 && length <= maxPattern);
const whole: Rule = [isWhole, "a whole number"];
/** The latest time of a `Date`. A replay up to a later one would be stored, and could not be shown. */
const maxTimeMs = 8.64e15;
const time: Rule = [
  (value) => isWhole(value) && (value as number) <= maxTimeMs,
  `a whole number of milliseconds, up to ${maxTimeMs}`,
];
const id: Rule = [isItemId, "the id of an item, such as 17.0 or m4"];
const oneOf = (words: readonly string[]): Rule => [
  (value) => words.includes(value as string),
  `one of ${words.join(", ")}`,
];

/** What each member may be, in every request. */
const rules: Readonly<Record<string, Rule>> = {
  token: [(value) => typeof value === "string", "a string"],
  from: [(value) => typeof value === "string", "the id of an event, or next of an answer"],
  severity: oneOf(Object.keys(severityNumbers).map((word) => word.toLowerCase())),
  text: [(value) => (value as string).length <= maxTextCharacters, `at most ${maxTextCharacters} characters`],
  last: [(value) => isWhole(value) && (value as number) >= 1 && (value as number) <= maxEvents, `1 to ${maxEvents}`],
  wait: [(value) => isWhole(value) && (value as number) <= maxWaitMs, `a time of up to ${maxWaitMs / 1000}s`],
  types: [
    (value) => (value as string[]).every((word) => (recordTypes as readonly string[]).includes(word)),
    `some of ${recordTypes.join(", ")}`,
  ],
  node: [areNodes, `the name of a node, of up to ${maxPattern} characters, and given at most ${maxNodes} times`],
  nodes: [areNodes, `up to ${maxNodes} names or patterns of up to ${maxPattern} characters`],
  class: oneOf(itemClasses),
  type: oneOf(itemTypes),
  reason: [(value) => typeof value === "string", "a string"],
  destination: [(value) => typeof value === "string", "a string"],
  before: whole,
  limit: whole,
  since: time,
  until: time,
  id,
  beforeId: id,
  ids: [
    (value) => Array.isArray(value) && value.length > 0 && value.length <= maxListed && value.every(isItemId),
    `1 to ${maxListed} ids of items, such as 17.0 or m4`,
  ],
  deadLetters: [(value) => value === "keep" || value === "delete", '"keep" or "delete"'],
  name: oneOf(redeliveryNames),
};

function read(body: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isObject(body)) throw bad("the body must be an object");
  for (const [name, value] of Object.entries(body)) {
    const rule = names.includes(name) ? rules[name] : undefined;
    if (rule === undefined) throw bad(`${JSON.stringify(name.slice(0, 100))} is unknown`);
    if (!rule[0](value)) throw bad(`${name} must be ${rule[1]}`);
  }
  return body;
}

function bad(message: string): Refusal {
  return new Refusal("unparsable", message);
}
