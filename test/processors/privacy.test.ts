/** Privacy beyond the golden cases: webhooks, shared sets, hostile texts, and hashes that last as long as the state directory. */
import { describe as suite, expect, test } from "bun:test";
import { attributesOf, type LogEvent } from "../../src/catalogue/log-event.ts";
import { type PrivacyCategory, privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import { describe, type ProcessorOptions } from "../../src/processors/index.ts";
import { privacyOf } from "../../src/processors/privacy.ts";
import { decodeRecord } from "../../src/records/decode.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { webhookRecord } from "../../src/records/webhook.ts";
import { createState } from "../support/journal.ts";
import { connection, flowOf, flowValue } from "../support/records.ts";

function settings(actions: Partial<PrivacySettings["actions"]>, salt = "salt"): PrivacySettings {
  const kept = Object.fromEntries(
    privacyCategories.map((category) => [category, "keep"]),
  ) as PrivacySettings["actions"];
  return { actions: { ...kept, ...actions }, salt };
}

const optionsOf = (privacy: PrivacySettings, more: Partial<ProcessorOptions> = {}): ProcessorOptions => ({
  collapseExternal: true,
  flowLogMode: "per_connection",
  tailnet: "",
  uidKey: undefined,
  privacy,
  ...more,
});

function webhookLog(actions: Partial<PrivacySettings["actions"]>, event: JsonObject): LogEvent {
  const record = decodeRecord(webhookRecord(event, JSON.stringify(event)));
  return describe(record, optionsOf(settings(actions)), 0)[0] as LogEvent;
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
  test("is hidden in its attributes, and the same inside its message", () => {
    const event = webhookLog(
      { emails: "hash", tailscale_ips: "drop", node_ids: "drop", tailnet_name: "drop" },
      nodeCreated,
    );
    const attributes = attributesOf(event);
    const alice = String(attributes["tailscale.webhook.actor"]);
    expect(alice).toMatch(/^hash-[\da-f]{16}$/);
    expect(attributes["tailscale.webhook.node.managed_by"]).toBe(alice);
    expect(event.body).toBe(`Node db-1 ([dropped]) created by ${alice}`);
    expect(attributes["tailscale.webhook.url"]).toBe("https://login.[dropped]/admin/machines/[dropped]");
    expect(Object.keys(attributes)).not.toContain("tailscale.webhook.node.id");
    expect(Object.keys(attributes)).not.toContain("tailscale.tailnet");
    expect(attributes["tailscale.webhook.new_roles"]).toEqual(["admin"]);
  });

  test("loses its message and its address with free text", () => {
    const event = webhookLog({ free_text: "drop" }, nodeCreated);
    expect(event.body).toBe("[dropped]");
    expect(attributesOf(event)["tailscale.webhook.url"]).toBeUndefined();
    expect(attributesOf(event)["tailscale.webhook.actor"]).toBe("alice@example.com");
  });
});

test("every category, dropped, leaves nothing that names anybody", () => {
  const everything = Object.fromEntries(privacyCategories.map((category) => [category, "drop"])) as Record<
    PrivacyCategory,
    "drop"
  >;
  const record = flowOf(
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
  const options = optionsOf(settings(everything), { tailnet: "example.com" });
  const text = JSON.stringify([...describe(record, options, 0), webhookLog(everything, nodeCreated)]);
  for (const told of ["web-1", "db-1", "alice", "example.com", "100.64", "10.1.2.3", "2001:db8", "CNTRL", "tail1234"]) {
    expect([told, text.includes(told)]).toEqual([told, false]);
  }
});

test("sets that events share are hidden once, and stay shared", () => {
  const record = flowOf(flowValue({ virtualTraffic: [connection(), connection({ src: "100.64.1.1:40001" })] }));
  const [one, two] = describe(record, optionsOf(settings({ tailscale_ips: "hash" })), 0);
  expect(one?.shared.length).toBeGreaterThan(1);
  one?.shared.forEach((set, place) => expect(two?.shared[place]).toBe(set));
});

test("hashes depend on the salt, and on nothing else", () => {
  const hashed = (salt: string) => privacyOf(settings({ hostnames: "hash" }, salt)).node("web-1");
  expect(hashed("a")).toBe(hashed("a") as string);
  expect(hashed("a")).not.toBe(hashed("b") as string);
});

test("the salt stays in the state directory", () => {
  const state = createState();
  try {
    const first = state.open();
    const { privacySalt } = first.identity;
    first.close();
    expect(privacySalt).toMatch(/^[\da-f]{64}$/);
    expect(state.open().identity.privacySalt).toBe(privacySalt);
  } finally {
    state.remove();
  }
});

test.each([
  ["a name without end", "a".repeat(200_000)],
  ["dots", "1.".repeat(100_000)],
  ["colons", "a:".repeat(100_000)],
  ["labels", "a-b.".repeat(60_000)],
  ["at signs", "@".repeat(200_000)],
])("%s is read in time, since no pattern looks back without a bound", (_, message) => {
  const all = { emails: "hash", hostnames: "hash", node_ids: "hash", user_ids: "hash", tailscale_ips: "hash" } as const;
  expect(webhookLog(all, { ...nodeCreated, message }).body).toBe(message);
});
