/** Filters of events in the address, and events in words. */
import { describe, expect, test } from "bun:test";
import type { AcceptedEvent } from "../../../src/admin/events/index.ts";
import { daysOf } from "../../../src/page/events/days.ts";
import { addressOf, filterOf, isShown, parametersOf } from "../../../src/page/events/query.ts";
import { wordsOf } from "../../../src/page/events/words.ts";

const usual = { types: ["audit", "webhook"], severity: "info", text: "", actor: "", nodes: [] };

describe("the filter in an address", () => {
  test.each([
    [{}, usual],
    [
      { types: "flow,audit", severity: "warn", text: "acl", actor: "bob" },
      { types: ["audit", "flow"], severity: "warn", text: "acl", actor: "bob" },
    ],
    [{ types: "x,,", severity: "fatal", since: "-1", until: "soon", id: "" }, {}],
    [
      { since: "5", until: "9", id: "a.1.0.0" },
      { since: 5, until: 9, id: "a.1.0.0" },
    ],
    [{ text: "a".repeat(300) }, { text: "a".repeat(256) }],
  ])("%j", (more, expected) => {
    expect(filterOf({ nodes: [], more: more as Record<string, string> })).toEqual({ ...usual, ...expected } as never);
  });

  test("round-trips through the address", () => {
    for (const more of [{}, { types: "flow" }, { types: "webhook", text: "a&b=<c>", severity: "warn", until: "7" }]) {
      const filter = filterOf({ nodes: ["nas"], more });
      expect(filterOf({ nodes: ["nas"], more: addressOf(filter) })).toEqual(filter);
    }
    expect(Object.values(addressOf(filterOf({ nodes: [], more: {} }))).join("")).toBe("");
  });

  test("sends the instance the parameters it can search by", () => {
    const filter = filterOf({
      nodes: ["nas", "web"],
      more: { severity: "warn", text: "acl", actor: "bob@example.com" },
    });
    expect(parametersOf(filter)).toEqual({
      types: "audit,webhook",
      severity: "warn",
      text: "acl bob@example.com",
      nodes: "nas,web",
    });
    expect(parametersOf(filterOf({ nodes: [], more: {} }))).toEqual({ types: "audit,webhook" });
  });
});

function event(members: Partial<AcceptedEvent>): AcceptedEvent {
  return {
    id: "a.1.0.0",
    type: "audit",
    source: "stream",
    acceptedAt: "2026-11-02T09:15:08Z",
    time: "2026-11-02T09:15:00Z",
    observedTime: "2026-11-02T09:15:07Z",
    name: "tailscale.config.audit",
    severity: "INFO",
    body: "",
    attributes: {},
    ...members,
  };
}

test("an actor is searched in any text by the server, and only among actors by the page", () => {
  const filter = filterOf({ nodes: [], more: { actor: "Bob", since: String(Date.parse("2026-11-02T09:15:00Z")) } });
  expect(isShown(event({ attributes: { "user.name": "bob@example.com" } }), filter)).toBe(true);
  expect(
    isShown(event({ attributes: { "user.name": "eve@example.com", "tailscale.audit.details": "bob" } }), filter),
  ).toBe(false);
  expect(isShown(event({ acceptedAt: "2026-11-02T09:14:00Z", attributes: { "user.name": "bob" } }), filter)).toBe(
    false,
  );
});

const webhook = { type: "webhook", name: "tailscale.webhook.nodeCreated" } as const;

describe("as text", () => {
  test("an audit event says who changed what", () => {
    const attributes = {
      "user.name": "alice@example.com",
      "tailscale.audit.action": "UPDATE",
      "tailscale.target.type": "NODE",
      "tailscale.target.name": "web.example.com",
      "tailscale.target.property": "KEY_EXPIRY_TIME",
    };
    expect(wordsOf(event({ attributes }))).toEqual({
      actor: "alice@example.com",
      what: "changed key expiry time",
      target: "web.example.com",
    });
    const failed = event({ attributes: { ...attributes, "error.message": "no such key" } });
    expect(wordsOf(failed).what).toBe("changed key expiry time, which failed: no such key");
  });

  test("a webhook event says its message, and absent parts stay empty", () => {
    expect(wordsOf(event({ ...webhook, body: "Node laptop needs approval" }))).toEqual({
      actor: "",
      what: "Node laptop needs approval",
      target: "",
    });
  });

  test("a long text is truncated in the list, never inside a character", () => {
    const { what } = wordsOf(event({ ...webhook, body: "😀".repeat(400).slice(1) }));
    expect([what.length <= 301, what.isWellFormed(), what.endsWith("…")]).toEqual([true, true, true]);
  });
});

test("events are grouped by the day of their time", () => {
  const now = new Date(2026, 10, 3, 12).getTime();
  const at = (...time: readonly [number, number, number, number]): AcceptedEvent =>
    event({ time: new Date(...time).toISOString() });
  const days = daysOf(
    [at(2026, 10, 3, 1), at(2026, 10, 3, 0), at(2026, 10, 2, 23), at(2026, 9, 30, 5), event({ time: "x" })],
    now,
  );
  expect(days.map(({ title, events }) => [title.replace(/,.*/, ""), events.length])).toEqual([
    ["Today", 2],
    ["Yesterday", 1],
    [new Intl.DateTimeFormat(undefined, { dateStyle: "full" }).format(new Date(2026, 9, 30)).replace(/,.*/, ""), 1],
    ["At an unknown time", 1],
  ]);
  expect(daysOf([], now)).toEqual([]);
});

test("an event that was received late is sorted by its time, and events of the same time by receipt", () => {
  const at = (id: string, time: string): AcceptedEvent => event({ id, time: `2026-11-02T${time}Z` });
  const received = [at("late", "12:00:02"), at("b", "12:00:05.5"), at("a", "12:00:05.500"), at("c", "12:00:09")];
  const idsOf = (events: readonly AcceptedEvent[]) => daysOf(events).flatMap((day) => day.events.map(({ id }) => id));
  expect(idsOf([...received, at("first", "12:00:01")])).toEqual(["c", "b", "a", "late", "first"]);
  expect(idsOf([at("x", "nonsense"), ...received, at("y", "")])).toEqual(["c", "b", "a", "late", "x", "y"]);
});

test("a day appears once, and keeps its key when events are added", () => {
  const at = (...[day, hour]: readonly [number, number]): AcceptedEvent =>
    event({ time: new Date(2026, 10, day, hour).toISOString() });
  const keysOf = (...events: readonly AcceptedEvent[]) => daysOf(events).map(({ key }) => key);
  const two = keysOf(at(3, 1), at(2, 23));
  expect(new Set(two).size).toBe(2);
  expect(keysOf(at(2, 22), at(3, 2), at(2, 23), at(3, 1))).toEqual(two);
});
