/** Tests privacy beyond the golden cases: webhooks, hostile texts, and hashes that depend only on the salt. */
import { describe as suite, expect, test } from "bun:test";
import type { PrivacyCategory, PrivacySettings } from "../../src/catalogue/logs.ts";
import { privacyCategories } from "../../src/catalogue/logs.ts";
import type { JsonObject } from "../../src/records/types.ts";
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { describe } from "../../src/processors/index.ts";
import { privacyOf } from "../../src/processors/outgoing.ts";
import { columnsOf } from "../support/columns.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { auditOf, privacyWith, settingsWith, webhookOf } from "./given.ts";

function webhookLog(actions: Partial<PrivacySettings["actions"]>, event: JsonObject): LogEvent {
  return describe(webhookOf(event), settingsWith({ privacy: privacyWith(actions) }), 0);
}

const nodeCreated: JsonObject = {
  timestamp: "2026-11-02T09:15:00Z",
  version: 1,
  type: "nodeCreated",
  tailnet: "example.com",
  message: "Node db-1 (100.64.1.2) created by alice@example.com",
  data: {
    nodeID: "nDB1CNTRL",
    deviceName: "db-1.tail1234.ts.net",
    managedBy: "alice@example.com",
    actor: "alice@example.com",
    url: "https://login.example.com/admin/machines/100.64.1.2",
    newRoles: ["admin"],
  },
};

suite("a webhook event", () => {
  test("is redacted in its attributes, and in the same way inside its message", () => {
    const { attributes, body } = webhookLog(
      { emails: "hash", tailscale_ips: "drop", node_ids: "drop", tailnet_name: "drop" },
      nodeCreated,
    );
    const alice = String(attributes["tailscale.webhook.actor"]);
    expect(alice).toMatch(/^hash-[\da-f]{16}$/);
    expect(attributes["tailscale.webhook.node.managed_by"]).toBe(alice);
    expect(body).toBe(`Node db-1 ([dropped]) created by ${alice}`);
    expect(attributes["tailscale.webhook.url"]).toBe("https://login.[dropped]/admin/machines/[dropped]");
    expect(Object.keys(attributes)).not.toContain("tailscale.webhook.node.id");
    expect(Object.keys(attributes)).not.toContain("tailscale.tailnet");
    expect(attributes["tailscale.webhook.new_roles"]).toEqual(["admin"]);
  });

  test("loses its message and its address if free text is dropped", () => {
    const { attributes, body } = webhookLog({ free_text: "drop" }, nodeCreated);
    expect(body).toBe("[dropped]");
    expect(attributes["tailscale.webhook.url"]).toBeUndefined();
    expect(attributes["tailscale.webhook.actor"]).toBe("alice@example.com");
  });
});

test("nothing names anybody if every category is dropped", () => {
  const everything = Object.fromEntries(privacyCategories.map((category) => [category, "drop"])) as Record<
    PrivacyCategory,
    "drop"
  >;
  const columns = columnsOf(
    flowValue({
      srcNode: {
        nodeId: "nONECNTRL",
        name: "web-1.tail1234.ts.net",
        addresses: ["100.64.1.1"],
        user: "alice@example.com",
      },
      virtualTraffic: [connection()],
      subnetTraffic: [connection({ src: "10.1.2.3:1", dst: "[2001:db8::1]:2" })],
    }),
  );
  const privacy = privacyWith(everything);
  const events = (["per_connection", "per_record"] as const).flatMap((flowLogMode) => {
    const describer = new FlowDescriber(settingsWith({ privacy, flowLogMode, tailnet: "example.com" }));
    const count = describer.logRecords(columns, 0);
    return Array.from({ length: count }, (_, index) => describer.event(columns, 0, index, 0));
  });
  expect(events.length).toBe(3);
  const text = JSON.stringify([...events, webhookLog(everything, nodeCreated)]);
  for (const told of ["web-1", "db-1", "alice", "example.com", "100.64", "10.1.2.3", "2001:db8", "CNTRL", "tail1234"])
    expect([told, text.includes(told)]).toEqual([told, false]);
});

test("a target whose type is a JavaScript property is treated like any unknown type", () => {
  const target = { id: "x1", name: "something", type: "constructor" };
  const log = describe(auditOf(auditValue({ target })), settingsWith({ privacy: privacyWith({ emails: "drop" }) }), 0);
  expect(log.attributes).toMatchObject({ "tailscale.target.id": "x1", "tailscale.target.name": "something" });
});

test("hashes depend on the salt and the text only", () => {
  const hashed = (salt: string) => privacyOf(privacyWith({ hostnames: "hash" }, salt)).node("web-1");
  expect(hashed("a")).toBe(hashed("a") as string);
  expect(hashed("a")).not.toBe(hashed("b") as string);
});

test("hashes are the same after a flood of others", () => {
  const privacy = privacyOf(privacyWith({ hostnames: "hash" }));
  const hashesOf = () => Array.from({ length: 40_000 }, (_, place) => privacy.node(`web-${place}`));
  const first = hashesOf();
  expect(new Set(first).size).toBe(40_000);
  expect(hashesOf()).toEqual(first);
});

test("an identifier is redacted before the text is cut", () => {
  const message = `${"a ".repeat(16_378)}alice@example.com`;
  const { body } = webhookLog({ emails: "drop" }, { ...nodeCreated, message });
  expect(body).not.toContain("alice");
  expect(body).toContain("[dropped]");
});

test.each([
  ["a name without end", "a".repeat(30_000)],
  ["dots", "1.".repeat(15_000)],
  ["colons", "a:".repeat(15_000)],
  ["labels", "a-b.".repeat(8000)],
  ["at signs", "@".repeat(30_000)],
])("%s is processed in time, because no pattern backtracks without a limit", (_, message) => {
  const all = { emails: "hash", hostnames: "hash", node_ids: "hash", user_ids: "hash", tailscale_ips: "hash" } as const;
  expect(webhookLog(all, { ...nodeCreated, message }).body).toBe(message);
});
