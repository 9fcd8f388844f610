/** Tests webhook events as records: what is accepted, how they are stored, their identities, and the facts they report. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { recordOfLine } from "../../src/records/envelope.ts";
import { decodeWebhook, type Fact, factOfAudit, factOfEvent, webhookRecord } from "../../src/records/plain.ts";
import { Identifier, keyWords } from "../../src/records/identity.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { auditOf, auditValue, enveloped } from "../support/records.ts";

const decode = (value: JsonObject) => decodeWebhook({ value });
const secret = "0123456789abcdef0123456789abcdef";

function keyOf(text: string, identifier = new Identifier(secret, 1)): string {
  const key = new Uint32Array(keyWords);
  identifier.plain(decode(JSON.parse(text) as JsonObject), key, 0);
  return key.join(" ");
}

const event = {
  timestamp: "2026-11-02T05:15:20.5-04:00",
  version: 1,
  type: "nodeCreated",
  tailnet: "example.com",
  message: "Node alice-laptop created",
  data: { deviceName: "alice-laptop.tail1234.ts.net" },
};

test("the events of the sample decode", () => {
  const text = readFileSync(new URL("../fixtures/samples/webhook.json", import.meta.url), "utf8");
  const records = (JSON.parse(text) as JsonObject[]).map(decode);
  expect(records.map(({ eventType }) => eventType)).toEqual([
    "nodeCreated",
    "nodeNeedsApproval",
    "nodeApproved",
    "nodeKeyExpiringInOneDay",
    "nodeKeyExpired",
    "nodeDeleted",
    "policyUpdate",
    "userRoleUpdated",
    "userSuspended",
    "test",
    "nodeTeleported",
  ]);
  expect(records.every(({ time, version, tailnet }) => time !== undefined && version === 1 && tailnet !== "")).toBe(
    true,
  );
});

test("an event is stored on one line as it was received, and read back the same", () => {
  const text = JSON.stringify(event, undefined, 2).replaceAll("\n", "\r\n");
  const raw = webhookRecord(event, Buffer.from(text));
  expect(Buffer.from(raw.line).toString()).not.toMatch(/[\r\n]/);
  const back = recordOfLine(raw.line, "webhook");
  expect(back).toEqual(raw);
  expect(decodeWebhook(back)).toEqual(decode(event));
});

describe("the identity of an event", () => {
  const text = JSON.stringify(event);

  test("depends on its content, but not on the order of members, white space or escapes", () => {
    const { data, ...rest } = event;
    const turned = JSON.stringify({ data, ...rest }, undefined, 1).replace("alice", "\\u0061lice");
    expect(turned).not.toBe(text);
    expect(keyOf(turned)).toEqual(keyOf(text));
    expect(keyOf(text)).toEndWith(" 0");
  });

  test("is different for any other content, at any depth", () => {
    const others = [
      text,
      JSON.stringify({ ...event, more: 1 }),
      JSON.stringify({ ...event, version: 2 }),
      JSON.stringify({ ...event, data: {} }),
      JSON.stringify({ ...event, data: { ...event.data, x: null } }),
      text.replace("05:15:20.5", "05:15:20.6"),
    ].map((other) => keyOf(other));
    others.push(keyOf(text, new Identifier(secret, 2)), keyOf(text, new Identifier("0f".repeat(16), 1)));
    expect(new Set(others).size).toBe(others.length);
  });
});

describe("a fact", () => {
  const node = { id: "nLAP1CNTRL", name: "alice-laptop.tail1234.ts.net", type: "NODE" };
  const user = { id: "u1CNTRL", name: "carol@example.com", type: "USER" };
  const audit = (action: string, target: JsonObject, more: JsonObject = {}): Fact | undefined =>
    factOfAudit(auditOf(enveloped(auditValue({ action, target, ...more }))));
  const told = (type: string, data: JsonObject): Fact | undefined => factOfEvent(decode({ ...event, type, data }));
  const laptop = { deviceName: "alice-laptop.tail1234.ts.net" };

  test.each([
    ["nodeCreated", laptop, "CREATE", node],
    ["nodeDeleted", laptop, "DELETE", node],
    ["nodeApproved", laptop, "APPROVE", node],
    ["nodeApproved", laptop, "UPDATE", node],
    ["userCreated", { user: "carol@example.com" }, "CREATE", user],
    ["userDeleted", { user: "carol@example.com" }, "DELETE", user],
  ])("%s of %j equals that of %s of %j", (type, data, action, target) => {
    const ofEvent = told(type, data);
    expect(ofEvent?.kind).toBe(type as Fact["kind"]);
    expect(audit(action, target)).toEqual({ ...(ofEvent as Fact), time: expect.anything() });
  });

  test("is the same with or without the domain in a name, ignoring case", () => {
    expect(told("nodeCreated", { deviceName: "Alice-Laptop" })?.name).toBe("alice-laptop");
    expect(audit("CREATE", node)?.name).toBe("alice-laptop");
    expect(told("userCreated", { user: "Carol@Example.com " })?.name).toBe("carol@example.com");
  });

  test.each([
    ["another action", audit("LOGIN", user)],
    ["another target", audit("CREATE", { id: "k", name: "k", type: "API_KEY" })],
    ["no name", audit("CREATE", { id: "n", type: "NODE" })],
    ["an action that failed", audit("CREATE", node, { error: "no" })],
    ["another event", told("nodeSigned", laptop)],
    ["an event without a name", told("nodeCreated", {})],
    ["an event with a name that is none", told("nodeCreated", { deviceName: 7 })],
    ["an event without a time", factOfEvent(decode({ type: "nodeCreated", data: laptop }))],
  ])("is not reported by %s", (_, fact) => {
    expect(fact).toBeUndefined();
  });
});
