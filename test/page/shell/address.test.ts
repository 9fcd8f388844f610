/** The state of the page in the fragment of its address. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { changed, hashOf, ranges, type Route, routeOf, views } from "../../../src/page/address.ts";

const plain: Route = { view: "now", nodes: [], range: "1h", more: {} };

describe("an address", () => {
  const addresses: [string, Partial<Route>][] = [
    ["", {}],
    ["#/", {}],
    ["#/events", { view: "events" }],
    ["#/nothing?range=7d&node=", {}],
    ["#/now?node=a&node=b&node=a", { nodes: ["a", "b"] }],
    ["#/history?range=24h&since=1", { view: "history", range: "24h", more: { since: "1" } }],
    ["#/events?id=7.0&text=a%3Fb%26c", { view: "events", more: { id: "7.0", text: "a?b&c" } }],
    ["#/now?node=%3Cimg%20onerror%3Dalert(1)%3E", { nodes: ["<img onerror=alert(1)>"] }],
    ["#/now?node=%E0%A4%A", { nodes: ["�%A"] }],
  ];
  test.each(addresses)("%s is read", (hash, expected) => {
    expect(routeOf(hash)).toEqual({ ...plain, ...expected });
  });

  test("names at most twenty nodes, each as long as a DNS name may be", () => {
    const parameters = Array.from({ length: 50 }, (_, index) => `node=n${index}`);
    expect(routeOf(`#/now?node=${"x".repeat(254)}&${parameters.join("&")}`).nodes).toEqual(
      Array.from({ length: 20 }, (_, index) => `n${index}`),
    );
  });

  test("round-trips every route", () => {
    const name = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }).filter((text) => text.isWellFormed());
    const routes = fc.record({
      view: fc.constantFrom(...views),
      nodes: fc.uniqueArray(name, { maxLength: 20 }),
      range: fc.constantFrom(...ranges),
      more: fc.dictionary(
        name.filter((key) => key !== "node" && key !== "range" && key !== "__proto__"),
        name,
      ),
    });
    fc.assert(fc.property(routes, (route) => expect(routeOf(hashOf(route))).toEqual(route)));
  });
});

describe("a change", () => {
  const route: Route = { view: "events", nodes: ["a"], range: "5m", more: { text: "b" } };

  test("of the view keeps nodes and range, and drops the parameters of the old view", () => {
    expect(hashOf(changed(route, { view: "now" }))).toBe("#/now?node=a&range=5m");
  });

  test("of the nodes keeps the rest", () => {
    expect(hashOf(changed(route, { nodes: ["a", "c"] }))).toBe("#/events?text=b&node=a&node=c&range=5m");
  });

  test("to an empty text leaves the parameter out", () => {
    expect(hashOf(changed(route, { more: { text: "" } }))).toBe("#/events?node=a&range=5m");
  });
});
