/** Frames of `top` and of the demo: what is shown at every size, and that nothing is wider than the terminal. */
import { describe, expect, test } from "bun:test";
import type { AcceptedEvent } from "../../src/admin/events/index.ts";
import { columnsOf } from "../../src/lib/text.ts";
import { frameOf, linesOf, sumsOf } from "../../src/screen/frame.ts";
import type { Moment } from "../../src/screen/look.ts";

const sums = { received: 120, accepted: 100, duplicate: 10, skipped: 5, quarantined: 5, delivered: 90, pending: 8 };

const event = (number: number, members: Partial<AcceptedEvent> = {}): AcceptedEvent => ({
  id: `a.${number}.0.0`,
  type: "audit",
  source: "stream",
  acceptedAt: "2026-11-02T09:15:01.000Z",
  time: "2026-11-02T09:15:00Z",
  observedTime: "2026-11-02T09:15:01Z",
  name: "tailscale.config.audit",
  severity: "INFO",
  body: "UPDATE on NODE.ACL_TAGS via ADMIN_CONSOLE",
  attributes: {
    "user.name": "ann@example.com",
    "tailscale.audit.action": "UPDATE",
    "tailscale.audit.origin": "ADMIN_CONSOLE",
    "tailscale.audit.new": '["tag:web"]',
    "tailscale.target.name": `node-${number}`,
    "tailscale.target.type": "NODE",
    "tailscale.target.property": "ACL_TAGS",
  },
  ...members,
});

const moment: Moment = {
  overview: {
    version: "1.2.3",
    at: "2026-11-02T09:15:00.000Z",
    startedAt: "2026-11-02T09:13:59.000Z",
    notReady: [],
    degraded: [],
    counters: { kind: "current" },
    conservation: { ...sums, deadLettered: 2, lost: 0, uncounted: 0 },
    entries: 5000,
    talkers: [
      { from: "fileserver-of-the-office", to: "laptop-of-somebody", bytes: 4_210_000 },
      { from: "東京サーバー", to: "évil\u001b[2J\u202eenil", bytes: 1000 },
    ],
    talkersSince: "2026-11-02T09:14:00.000Z",
  },
  entriesPerSecond: 80,
  recordsPerSecond: 4,
  events: [event(1), event(2, { severity: "WARN" })],
  fresh: [event(2)],
};

const options = { columns: 80, rows: 24, hasColor: false, head: ["tailscale2otel 1.2.3"], notices: [] };

test("80 columns and 24 rows show rates, sums, talkers and events", () => {
  expect(frameOf(moment, options).join("\n")).toMatchInlineSnapshot(`
    "  tailscale2otel 1.2.3

      up 1:01   80 connection entries/s, 5,000 counted   4 records/s
      received 120 = accepted 100 + duplicate 10 + skipped 5 + quarantined 5
      accepted 100 = delivered 90 + pending 8 + dead-lettered 2

      Top talkers since 09:14:00 UTC
      fileserver-of-the-office ↔ laptop-of-somebody      4.21 MB █████████████████
      東京サーバー ↔ évil?[2J?enil                         1.00 kB █

      Latest audit and webhook events (UTC)
      audit 09:15:00 ann@example.com: changed ACL tags node-1 via ADMIN_CONSOLE: n…
      audit 09:15:00 ann@example.com: changed ACL tags node-2 via ADMIN_CONSOLE: n…"
  `);
});

describe.each([200, 80, 60, 20])("on %d columns", (columns) => {
  test.each([50, 24, 12, 5, 1])("and %d rows, nothing is wider or longer than the terminal", (rows) => {
    const notice = "log export is failing (reason: connection refused by 127.0.0.1:4318 because nothing listens there)";
    const frame = frameOf(moment, { ...options, columns, rows, notices: [notice] });
    expect(frame.length).toBeLessThanOrEqual(rows);
    expect(frame.filter((line) => columnsOf(line) >= columns)).toEqual([]);
    expect(frame.join("")).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  test("notices, sums and amounts are complete if there are enough rows", () => {
    if (columns < 60) return;
    const notice = "log export is failing (reason: connection refused by 127.0.0.1:4318 because nothing listens there)";
    const frame = frameOf(moment, { ...options, columns, rows: 50, notices: [notice] });
    const words = frame.map((line) => line.trim()).join(" ");
    expect(words).toContain(notice);
    expect(words).toContain("pending 8 + dead-lettered 2");
    expect(words).toContain("4.21 MB");
  });
});

test("is in color if the terminal has color", () => {
  const text = frameOf(moment, { ...options, hasColor: true }).join("\n");
  expect(text).toContain("\u001b[1m  Top talkers since 09:14:00 UTC\u001b[0m");
  expect(text).toContain("\u001b[33m  audit 09:15:00");
});

test("a pipe gets what is new, on lines that no record can forge", () => {
  const hostile = {
    ...moment,
    fresh: [event(3, { attributes: { ...event(3).attributes, "user.name": "a\nb\u001b[31m" } })],
  };
  expect(linesOf(hostile, ["not up to date"])).toEqual([
    "1:01 80 entries/s; 100 records accepted, 90 delivered, 8 pending; top fileserver-of-the-office ↔ laptop-of-somebody 4.21 MB",
    "1:01 ! not up to date",
    '1:01 audit 09:15:00 a?b?[31m: changed ACL tags node-3 via ADMIN_CONSOLE: nothing → ["tag:web"]',
  ]);
});

test("the backlog of each destination is shown", () => {
  const types = ["audit"] as const;
  const lake = { accepted: 1070, delivered: 40, pending: 1000, deadLettered: 0, evicted: 30, required: false, types };
  const pendingSince = "2026-11-02T09:10:00.000Z";
  const destinations = [{ name: "lake", records: { ...lake, pendingSince } }];
  const overview = { ...moment.overview, destinations };
  expect(frameOf({ ...moment, overview }, { ...options, columns: 120 }).slice(2, 7)).toEqual([
    "  up 1:01   80 connection entries/s, 5,000 counted   4 records/s",
    "  received 120 = accepted 100 + duplicate 10 + skipped 5 + quarantined 5",
    "  accepted 100 = delivered 90 + pending 8 + dead-lettered 2",
    "  lake: accepted 1,070 = delivered 40 + pending 1,000 + dead-lettered 0 + evicted 30",
    "  oldest record in the backlog of lake received 5:00 ago",
  ]);
  expect(linesOf({ ...moment, overview, fresh: [] })).toEqual([
    "1:01 80 entries/s; 100 records accepted, 90 delivered, 8 pending; lake 40 delivered, 1,000 pending; top fileserver-of-the-office ↔ laptop-of-somebody 4.21 MB",
  ]);
});

test("sums that do not hold are shown as unequal", () => {
  const conservation = { ...moment.overview.conservation, received: 121, lost: 1 };
  expect(sumsOf({ overview: { ...moment.overview, conservation } })).toEqual([
    "received 121 ≠ accepted 100 + duplicate 10 + skipped 5 + quarantined 5",
    "accepted 100 ≠ delivered 90 + pending 8 + dead-lettered 2 + lost 1",
  ]);
});
