/** Reads what is asked about what was kept: every member is checked, and unknown ones are refused. */
import { Refusal } from "../errors.ts";
import { type ItemFilter, itemTypes, quarantineClasses } from "../journal/quarantine-items.ts";
import { type RedeliveryName, redeliveryNames } from "../journal/redelivery.ts";
import { isObject } from "../records/members.ts";
import { type ItemQuery, maxListed, type Selection } from "./kept-types.ts";

const defaultLimit = 100;

/** Of `/api/quarantine`. @throws {Refusal} `unparsable` */
export function queryOf(parameters: URLSearchParams): ItemQuery {
  const given = new Map<string, unknown>(parameters);
  for (const name of ["limit", "beforeId", "before"]) {
    const text = given.get(name);
    if (text !== undefined) given.set(name, Number(text));
  }
  const members = known(Object.fromEntries(given), [...filterMembers, "limit", "beforeId"]);
  const limit = wholeOf(members, "limit") ?? defaultLimit;
  if (limit < 1 || limit > maxListed) throw bad(`limit must be 1 to ${maxListed}`);
  const beforeId = wholeOf(members, "beforeId");
  return { ...filterOf(members), limit, ...(beforeId === undefined ? {} : { beforeId }) };
}

/** @throws {Refusal} `unparsable`; also where nothing is selected. */
export function selectionOf(body: unknown): Selection {
  const members = known(body, [...filterMembers, "ids", "after"]);
  const ids = idsOf(members["ids"]);
  const after = wholeOf(members, "after");
  const filter = filterOf(members);
  if (ids === undefined && Object.keys(filter).length === 0) throw bad("nothing is selected: give ids or a class");
  return { ...filter, ...(ids === undefined ? {} : { ids }), ...(after === undefined ? {} : { after }) };
}

/** @throws {Refusal} `unparsable` */
export function purgeOf(body: unknown): [Selection, "keep" | "delete"] {
  const { deadLetters = "keep", ...selection } = known(body, [...filterMembers, "ids", "after", "deadLetters"]);
  if (deadLetters !== "keep" && deadLetters !== "delete") throw bad('deadLetters must be "keep" or "delete"');
  return [selectionOf(selection), deadLetters];
}

/** @throws {Refusal} `unparsable` */
export function rangeOf(body: unknown): { readonly since: number; readonly until?: number } {
  const members = known(body, ["since", "until"]);
  const since = wholeOf(members, "since");
  const until = wholeOf(members, "until");
  if (since === undefined) throw bad("since is missing");
  if (until !== undefined && until < since) throw bad("until is before since");
  return { since, ...(until === undefined ? {} : { until }) };
}

/** @throws {Refusal} `unparsable` */
export function cancelOf(body: unknown): RedeliveryName {
  const { name = "replay" } = known(body, ["name"]);
  return wordOf({ name }, "name", redeliveryNames) ?? "replay";
}

const filterMembers = ["class", "reason", "type", "before"];

type Members = Readonly<Record<string, unknown>>;

function filterOf(members: Members): ItemFilter {
  const itemClass = wordOf(members, "class", quarantineClasses);
  const type = wordOf(members, "type", itemTypes);
  const before = wholeOf(members, "before");
  const { reason } = members;
  if (reason !== undefined && typeof reason !== "string") throw bad("reason must be a text");
  return {
    ...(itemClass === undefined ? {} : { class: itemClass }),
    ...(reason === undefined ? {} : { reason }),
    ...(type === undefined ? {} : { type }),
    ...(before === undefined ? {} : { before }),
  };
}

function known(body: unknown, names: readonly string[]): Members {
  if (!isObject(body)) throw bad("the body must be an object");
  const other = Object.keys(body).find((name) => !names.includes(name));
  if (other !== undefined) throw bad(`${JSON.stringify(other.slice(0, 100))} is unknown`);
  return body;
}

function wordOf<Word extends string>(members: Members, name: string, words: readonly Word[]): Word | undefined {
  const given = members[name];
  if (given === undefined) return undefined;
  const word = words.find((one) => one === given);
  if (word === undefined) throw bad(`${name} must be one of ${words.join(", ")}`);
  return word;
}

function wholeOf(members: Members, name: string): number | undefined {
  const given = members[name];
  if (given === undefined) return undefined;
  if (!Number.isSafeInteger(given) || (given as number) < 0) throw bad(`${name} must be a whole number`);
  return given as number;
}

function idsOf(given: unknown): readonly number[] | undefined {
  if (given === undefined) return undefined;
  const isList = Array.isArray(given) && given.length > 0 && given.length <= maxListed;
  if (!isList || !given.every((id) => Number.isSafeInteger(id) && id > 0))
    throw bad(`ids must be 1 to ${maxListed} whole numbers`);
  return [...new Set(given as number[])];
}

function bad(message: string): Refusal {
  return new Refusal("unparsable", message);
}
