/** Parses requests about quarantine and replays: every member is checked, and unknown ones are refused. */
import { Refusal } from "../errors.ts";
import { isObject } from "../records/members.ts";
import type { QuarantineFilter, Redelivery } from "../journal/index.ts";
import {
  isItemId,
  itemClasses,
  type ItemQuery,
  itemTypes,
  maxListed,
  redeliveryNames,
  type Selection,
} from "./kept-types.ts";

const defaultLimit = 100;

/** Of `/api/quarantine`. @throws {Refusal} `unparsable` */
export function queryOf(parameters: URLSearchParams): ItemQuery {
  const given = new Map<string, unknown>(parameters);
  for (const name of ["limit", "before"]) {
    const text = given.get(name);
    if (text !== undefined) given.set(name, Number(text));
  }
  const members = known(Object.fromEntries(given), [...filterMembers, "limit", "beforeId"]);
  const limit = wholeOf(members, "limit") ?? defaultLimit;
  if (limit < 1 || limit > maxListed) throw bad(`limit must be 1 to ${maxListed}`);
  return { ...filterOf(members), limit, ...beforeIdOf(members) };
}

/** Of `/api/quarantine/item`. @throws {Refusal} `unparsable` */
export function itemIdOf(parameters: URLSearchParams): string {
  const id = parameters.get("id");
  if (!isItemId(id)) throw bad("id must be the id of an item, such as 17.0 or m4");
  return id;
}

/** @throws {Refusal} `unparsable`; also if nothing is selected. */
export function selectionOf(body: unknown): Selection {
  const members = known(body, [...filterMembers, "ids", "beforeId"]);
  const ids = idsOf(members["ids"]);
  const filter = filterOf(members);
  if (ids === undefined && Object.keys(filter).length === 0) throw bad("nothing is selected: give ids or a class");
  return { ...filter, ...(ids === undefined ? {} : { ids }), ...beforeIdOf(members) };
}

/** @throws {Refusal} `unparsable` */
export function purgeOf(body: unknown): [Selection, "keep" | "delete"] {
  const { deadLetters = "keep", ...selection } = known(body, [...filterMembers, "ids", "beforeId", "deadLetters"]);
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
export function cancelOf(body: unknown): Redelivery["name"] {
  const { name = "replay" } = known(body, ["name"]);
  return wordOf({ name }, "name", redeliveryNames) ?? "replay";
}

const filterMembers = ["class", "reason", "type", "before"];

type Members = Readonly<Record<string, unknown>>;

function filterOf(members: Members): QuarantineFilter {
  const itemClass = wordOf(members, "class", itemClasses);
  const type = wordOf(members, "type", itemTypes);
  const before = wholeOf(members, "before");
  const { reason } = members;
  if (reason !== undefined && typeof reason !== "string") throw bad("reason must be a string");
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

function beforeIdOf(members: Members): { readonly beforeId?: string } {
  const given = members["beforeId"];
  if (given === undefined) return {};
  if (!isItemId(given)) throw bad("beforeId must be the id of an item, such as 17.0 or m4");
  return { beforeId: given };
}

function idsOf(given: unknown): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const isList = Array.isArray(given) && given.length > 0 && given.length <= maxListed;
  if (!isList || !given.every(isItemId)) throw bad(`ids must be 1 to ${maxListed} ids of items, such as 17.0 or m4`);
  return [...new Set(given as string[])];
}

function bad(message: string): Refusal {
  return new Refusal("unparsable", message);
}
