/** Which log a record belongs to is told by its shape alone. */
import { expect, test } from "bun:test";
import { classify } from "../../src/records/classify.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { auditValue, flowValue } from "../support/records.ts";

test.each([
  ["a flow record", flowValue(), "flow"],
  ["one traffic array is enough", { nodeId: "n", exitTraffic: [] }, "flow"],
  ["a traffic member of the wrong type is for the decoder", { nodeId: "n", physicalTraffic: "x" }, "flow"],
  ["null arrays are none", { nodeId: "n", virtualTraffic: null, subnetTraffic: null }, "unclassified"],
  ["no traffic", { nodeId: "n" }, "unclassified"],
  ["an empty node id", { nodeId: "", virtualTraffic: [] }, "unclassified"],
  ["a node id of the wrong type", { nodeId: 7, virtualTraffic: [] }, "unclassified"],
  ["unknown traffic", { nodeId: "n", futureTraffic: [{}] }, "unclassified"],
  ["an audit record", auditValue(), "audit"],
  ["actor and action are enough", { actor: {}, action: "LOGIN" }, "audit"],
  ["an empty action", { actor: {}, action: "" }, "unclassified"],
  ["an actor that is no object", { actor: "alice", action: "LOGIN" }, "unclassified"],
  ["an actor that is a list", { actor: [], action: "LOGIN" }, "unclassified"],
  ["both: traffic says more", { ...auditValue(), ...flowValue() }, "flow"],
  ["nothing", {}, "unclassified"],
] satisfies [string, JsonObject, ReturnType<typeof classify>][])("%s", (_, value, kind) => {
  expect(classify(value)).toBe(kind);
});

test("a member of the prototype is none", () => {
  const value = JSON.parse('{"__proto__":{"nodeId":"n","virtualTraffic":[]}}') as JsonObject;
  expect(classify(value)).toBe("unclassified");
});
