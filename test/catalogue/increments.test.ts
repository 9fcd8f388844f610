/** Tests that increments are summed by metric and attributes. */
import { describe, expect, test } from "bun:test";
import { attributesKey, count, merge, noIncrements } from "../../src/catalogue/increments.ts";

const audit = { "tailscale.audit.action": "CREATE", "tailscale.audit.origin": "NODE" } as const;

describe("a count", () => {
  test("is summed by metric and attributes", () => {
    const into = noIncrements();
    count(into, "tailscale.config.audit.events", audit, 2);
    count(into, "tailscale.config.audit.events", { ...audit }, 3);
    count(into, "tailscale.config.audit.events", { ...audit, "tailscale.audit.origin": "other" }, 5);
    expect([...into.values()].map(({ value }) => value)).toEqual([5, 5]);
  });

  test("of zero is dropped", () => {
    const into = noIncrements();
    count(into, "tailscale.config.audit.events", audit, 0);
    expect(into.size).toBe(0);
  });
});

describe("a merge", () => {
  test("adds all sums, and leaves the merged increments unchanged", () => {
    const from = noIncrements();
    count(from, "tailscale.config.audit.events", audit, 1);
    const into = noIncrements();
    merge(into, from);
    merge(into, from);
    merge(into, noIncrements());
    expect([...into.values()].map(({ value }) => value)).toEqual([2]);
    expect([...from.values()].map(({ value }) => value)).toEqual([1]);
  });
});

test("an attribute set's key distinguishes names from values, and absent from empty", () => {
  const keys = [{}, { a: "" }, { a: "b" }, { ab: "" }, { a: "b", c: "" }, { a: "", c: "b" }, { a: true }].map(
    (attributes) => attributesKey(attributes),
  );
  expect(new Set(keys).size).toBe(keys.length);
});
