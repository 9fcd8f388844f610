/** Reads members of a parsed JSON object that must have a type, or be absent. `null` counts as absent everywhere. */
import type { HrTime } from "../lib/clock.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { Defect } from "./types.ts";
import type { JsonObject } from "./types.ts";

/** A string; `""` where absent. */
export function stringMember(object: JsonObject, name: string): string {
  const value = object[name];
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw wrongType(name, "a string", value);
}

/** An object, or nothing. */
export function objectMember(object: JsonObject, name: string): JsonObject | undefined {
  const value = object[name];
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  throw wrongType(name, "an object", value);
}

/** A list; empty where absent. */
export function listMember(object: JsonObject, name: string): readonly unknown[] {
  const value = object[name];
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw wrongType(name, "a list", value);
}

/** A list of strings; empty where absent. */
export function stringsMember(object: JsonObject, name: string): readonly string[] {
  const list = listMember(object, name);
  for (const item of list) if (typeof item !== "string") throw wrongType(name, "a list of strings", item);
  return list as readonly string[];
}

/** A time; nothing where absent or empty. */
export function timeMember(object: JsonObject, name: string): HrTime | undefined {
  const text = stringMember(object, name);
  if (text === "") return undefined;
  const time = parseRfc3339(text);
  if (time === undefined) throw new Defect("decode_error", `${name} is not an RFC 3339 time: ${text.slice(0, 40)}`);
  return time;
}

/** Whether a parsed value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {Defect} `decode_error` when the value is nested deeper than that: what walks it later would run out of stack. */
export function checkDepth(name: string, value: unknown, maxDepth: number): void {
  descend(value, maxDepth);

  function descend(nested: unknown, levels: number): void {
    if (!Array.isArray(nested) && !isObject(nested)) return;
    if (levels === 0) throw new Defect("decode_error", `${name} is nested deeper than ${maxDepth} levels`);
    for (const member of Object.values(nested)) descend(member, levels - 1);
  }
}

/** Tags as they are exported: trimmed, unique, sorted, empty ones left out. */
export function normalTags(tags: readonly string[]): readonly string[] {
  if (tags.length === 0) return tags;
  return [...new Set(tags.map((tag) => tag.trim()))].filter((tag) => tag !== "").sort();
}

/** The defect of a member that has another type than the wire format says. */
export function wrongType(name: string, expected: string, found: unknown): Defect {
  const kind = found === null ? "null" : Array.isArray(found) ? "a list" : `a ${typeof found}`;
  return new Defect("decode_error", `${name} must be ${expected}, found ${kind}`);
}
