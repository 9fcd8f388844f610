/** Tells records apart by their shape, since nothing on the wire names the log that a record belongs to. */
import { isObject } from "./members.ts";
import type { JsonObject } from "./types.ts";

/** The kinds that the stream and the API carry, or neither. */
export function classify(value: JsonObject): "flow" | "audit" | "unclassified" {
  if (typeof value["nodeId"] === "string" && value["nodeId"] !== "" && hasTraffic(value)) return "flow";
  if (isObject(value["actor"]) && typeof value["action"] === "string" && value["action"] !== "") return "audit";
  return "unclassified";
}

function hasTraffic(value: JsonObject): boolean {
  return (
    isPresent(value["virtualTraffic"]) ||
    isPresent(value["physicalTraffic"]) ||
    isPresent(value["subnetTraffic"]) ||
    isPresent(value["exitTraffic"])
  );
}

function isPresent(member: unknown): boolean {
  return member !== undefined && member !== null;
}
