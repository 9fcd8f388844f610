/** Reads members of a parsed JSON object that must have a certain type if present. `null` counts as absent. */
import type { HrTime } from "../lib/clock.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { Defect, type JsonObject } from "./types.ts";

/** A string; `""` if absent. */
export function stringMember(object: JsonObject, name: string): string {
  return typed(object, name, "a string", (value) => typeof value === "string") ?? "";
}

/** A number, if present. */
export function numberMember(object: JsonObject, name: string): number | undefined {
  return typed(object, name, "a number", (value) => typeof value === "number");
}

/** A Boolean, if present. */
export function booleanMember(object: JsonObject, name: string): boolean | undefined {
  return typed(object, name, "a Boolean", (value) => typeof value === "boolean");
}

/** An object, if present. */
export function objectMember(object: JsonObject, name: string): JsonObject | undefined {
  return typed(object, name, "an object", isObject);
}

/** A list; empty if absent. */
export function listMember(object: JsonObject, name: string): readonly unknown[] {
  return typed(object, name, "a list", (value): value is readonly unknown[] => Array.isArray(value)) ?? [];
}

function typed<Type>(object: JsonObject, name: string, expected: string, isValid: (value: unknown) => value is Type) {
  const value = object[name] ?? undefined;
  if (value === undefined || isValid(value)) return value;
  throw wrongType(name, expected, value);
}

/** A list of strings; empty if absent. */
export function stringsMember(object: JsonObject, name: string): readonly string[] {
  const list = listMember(object, name);
  for (const item of list) if (typeof item !== "string") throw wrongType(name, "a list of strings", item);
  return list as readonly string[];
}

/** A time; undefined if absent or empty. */
export function timeMember(object: JsonObject, name: string): HrTime | undefined {
  const text = stringMember(object, name);
  if (text === "") return undefined;
  const time = parseRfc3339(text);
  if (time === undefined) throw new Defect("decode_error", `${name} is not an RFC 3339 time: ${text.slice(0, 40)}`);
  return time;
}

/** True if a parsed value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {Defect} `decode_error` if the value is nested more deeply: code that walks it later would overflow the stack. */
export function checkDepth(name: string, value: unknown, maxDepth: number): void {
  descend(value, maxDepth);

  function descend(nested: unknown, levels: number): void {
    if (!Array.isArray(nested) && !isObject(nested)) return;
    if (levels === 0) throw new Defect("decode_error", `${name} is nested deeper than ${maxDepth} levels`);
    for (const member of Object.values(nested)) descend(member, levels - 1);
  }
}

/** Tags as they are exported: trimmed, unique, sorted, without empty ones. */
export function normalTags(tags: readonly string[]): readonly string[] {
  if (tags.length === 0) return tags;
  return [...new Set(tags.map((tag) => tag.trim()))].filter((tag) => tag !== "").sort();
}

/** The defect of a member whose type is not that of the wire format. */
export function wrongType(name: string, expected: string, found: unknown): Defect {
  const kind = found === null ? "null" : Array.isArray(found) ? "a list" : `a ${typeof found}`;
  return new Defect("decode_error", `${name} must be ${expected}, found ${kind}`);
}
