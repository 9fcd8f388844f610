/** Tests that every exported text is well-formed and within its limit, and that every cut is counted. */
import { describe as suite, expect, test } from "bun:test";
import fc from "fast-check";
import { type LogEvent } from "../../src/catalogue/log-event.ts";
import { noIncrements } from "../../src/catalogue/increments.ts";
import {
  boundedText,
  maxAttributeBytes,
  maxBodyBytes,
  maxLabelBytes,
  takeTruncatedTexts,
} from "../../src/processors/outgoing.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import { describe, measure } from "../../src/processors/index.ts";
import { directoryOf } from "../../src/processors/directory.ts";
import { columnsOf } from "../support/columns.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { seeded } from "../support/random.ts";
import { auditOf, settingsWith, webhookOf } from "./given.ts";

const mark = "…[truncated]";
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.constantFrom("\ud83d", "\ude00", "😀", "é", "a", "…"), { maxLength: 60 }).map((units) => units.join("")),
);

test("a text is well-formed and within the limit: whole, or its longest prefix with a mark", () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 20, max: 80 }), (text, maxBytes) => {
      const bounded = boundedText(text, maxBytes);
      const whole = text.toWellFormed();
      expect(bounded.isWellFormed()).toBe(true);
      expect(Buffer.byteLength(bounded)).toBeLessThanOrEqual(maxBytes);
      if (Buffer.byteLength(whole) <= maxBytes) expect(bounded).toBe(whole);
      else {
        const kept = bounded.slice(0, -mark.length);
        expect(bounded.endsWith(mark)).toBe(true);
        expect(whole.startsWith(kept)).toBe(true);
        const next = String.fromCodePoint(whole.codePointAt(kept.length) as number);
        expect(Buffer.byteLength(kept + next + mark)).toBeGreaterThan(maxBytes);
      }
    }),
    seeded(1000),
  );
});

test("a cut is counted once", () => {
  takeTruncatedTexts();
  boundedText("a".repeat(100), 100);
  expect(takeTruncatedTexts()).toBe(0);
  boundedText("a".repeat(101), 100);
  boundedText("\ud800".repeat(5_000_000), 100);
  expect(takeTruncatedTexts()).toBe(2);
  expect(takeTruncatedTexts()).toBe(0);
});

function textsOf({ name, body, attributes }: LogEvent): readonly string[] {
  return [name, body, ...Object.values(attributes).flat()].filter((value) => typeof value === "string");
}

function expectBounded(event: LogEvent): void {
  for (const text of textsOf(event)) expect(text.isWellFormed()).toBe(true);
  for (const value of Object.values(event.attributes))
    expect(Buffer.byteLength([value].flat().join(""))).toBeLessThanOrEqual(maxAttributeBytes);
  expect(Buffer.byteLength(event.body)).toBeLessThanOrEqual(maxBodyBytes);
}

const hostile = `\ud800${"é".repeat(40_000)}\udc00`;

suite("exported texts are limited", () => {
  test("to 4 KiB per attribute, 32 KiB per log body and 256 bytes per metric attribute", () => {
    expect([maxAttributeBytes, maxBodyBytes, maxLabelBytes]).toEqual([4096, 32_768, 256]);
  });

  test("for a record with a large user and many connections: 0.3 MB do not become 200", () => {
    const user = `${"a".repeat(150_000)}@example.com`;
    const srcNode = { nodeId: "nONECNTRL", name: "web-1", addresses: ["100.64.1.1"], user };
    const columns = columnsOf(flowValue({ srcNode, virtualTraffic: Array.from({ length: 1300 }, () => connection()) }));
    const describer = new FlowDescriber(settingsWith());
    const events = describer.events(columns, 0, 0, 1300, 0);
    expect(events).toHaveLength(1300);
    expect(Buffer.byteLength(String(events[0]?.attributes["tailscale.src.user"]))).toBe(4096);
    expect(JSON.stringify(events[0]).length).toBeLessThan(6000);
  });

  test("for an audit record", () => {
    takeTruncatedTexts();
    const target = { id: hostile, name: hostile, type: hostile, property: hostile };
    const value = auditValue({ target, old: { key: hostile }, new: hostile, action: hostile, eventGroupID: hostile });
    const event = describe(auditOf(value), settingsWith({ tailnet: "example.com" }), 0);
    expectBounded(event);
    expect(event.attributes["tailscale.target.name"]).toEndWith(mark);
    // Body, action, group, old, new, and four of the target.
    expect(takeTruncatedTexts()).toBe(9);
  });

  test("for a webhook event, including its name", () => {
    const value = { type: hostile, message: hostile, data: { url: hostile, newRoles: ["admin", hostile, "x"] } };
    const event = describe(webhookOf(value), settingsWith(), 0);
    expectBounded(event);
    expect(event.attributes["tailscale.webhook.new_roles"]).toEqual(["admin"]);
    const into = noIncrements();
    measure(webhookOf(value), settingsWith(), into);
    for (const { attributes } of into.values())
      for (const label of Object.values(attributes))
        expect(Buffer.byteLength(label)).toBeLessThanOrEqual(maxLabelBytes);
  });

  test("for a flow record", () => {
    const columns = columnsOf(flowWithTexts());
    for (const mode of ["per_connection", "per_record"] as const) {
      const describer = new FlowDescriber(settingsWith({ flowLogMode: mode, tailnet: hostile }));
      const event = describer.event(columns, 0, 0, 0);
      expectBounded(event);
      expect(event.attributes["tailscale.node.id"]).toEndWith(mark);
    }
  });

  test("in metric labels: exit node, user, tags and system", () => {
    const dimensions = { nodes: true, identity: true, sourcePort: false, destinationPort: false };
    const settings = settingsWith({ dimensions });
    const columns = columnsOf(flowWithTexts());
    const edges = new EdgeBook(settings);
    measureFlow(columns, 0, 1, { settings, edges, ends: new EndBook(settings) });
    const { source, identity } = edges.pair(columns.edge[0] as number);
    const labels = [columns.exitNode[0], source, ...Object.values(identity ?? {})];
    expect(labels.length).toBe(5);
    for (const label of labels) {
      expect(label?.isWellFormed()).toBe(true);
      expect(Buffer.byteLength(label as string)).toBeLessThanOrEqual(maxLabelBytes);
    }
  });

  test("in the metric label of a node's name from the directory", () => {
    const device = { nodeId: "n", label: hostile, addresses: ["100.64.1.1"], os: "", user: "", tags: [] };
    const settings = settingsWith({ directory: { current: directoryOf([device]) } });
    const columns = columnsOf(flowWithTexts());
    const edges = new EdgeBook(settings);
    measureFlow(columns, 0, 1, { settings, edges, ends: new EndBook(settings) });
    const { source } = edges.pair(columns.edge[0] as number);
    expect(source).toEndWith(mark);
    expect(source?.isWellFormed()).toBe(true);
    expect(Buffer.byteLength(source as string)).toBeLessThanOrEqual(maxLabelBytes);
  });
});

test("a node's label is never cut inside a character", () => {
  const columns = columnsOf(
    flowValue({ srcNode: { name: `${"a".repeat(62)}😀.tail1234.ts.net`, addresses: ["100.64.1.1"] } }),
  );
  const event = new FlowDescriber(settingsWith()).event(columns, 0, 0, 0);
  expect(event.attributes["tailscale.src.node"]).toBe(`${"a".repeat(62)}😀`);
});

function flowWithTexts() {
  const srcNode = {
    nodeId: "n",
    name: "web-1",
    addresses: ["100.64.1.1"],
    user: hostile,
    tags: [hostile],
    os: hostile,
  };
  return flowValue({ nodeId: hostile, srcNode, virtualTraffic: [], exitTraffic: [connection()] });
}
