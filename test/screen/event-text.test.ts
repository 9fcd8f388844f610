/** Events as readable lines. */
import { expect, test } from "bun:test";
import type { AcceptedEvent } from "../../src/admin/events/index.ts";
import type { LogAttributes } from "../../src/catalogue/log-event.ts";
import { bytes, diffOf, eventText } from "../../src/screen/event-text.ts";

function event(type: AcceptedEvent["type"], attributes: LogAttributes, body = ""): AcceptedEvent {
  const time = "2026-11-02T09:15:00Z";
  const place = { id: "a.1.0.0", source: "stream", acceptedAt: time, time, observedTime: time } as const;
  const name = { flow: "tailscale.network.flow", audit: "tailscale.config.audit", webhook: "tailscale.webhook.other" }[
    type
  ];
  return { ...place, type, name, severity: "INFO", body, attributes };
}

const counters = { "tailscale.tx.bytes": 64, "tailscale.rx.bytes": 3_400_000 };

test.each<[string, LogAttributes, string]>([
  [
    "nodes with names",
    {
      "network.transport": "tcp",
      "tailscale.dst.service": "ssh",
      "tailscale.traffic_type": "virtual",
      "tailscale.src.node": "laptop",
      "source.address": "100.64.1.1",
      "tailscale.dst.node": "web",
      "destination.address": "100.64.1.2",
      "destination.port": 22,
    },
    "laptop → web:22  tcp ssh  tx 64 B, rx 3.40 MB  virtual",
  ],
  [
    "addresses of those without",
    {
      "network.transport": "udp",
      "tailscale.traffic_type": "exit",
      "tailscale.src.node": "unknown",
      "source.address": "100.64.1.1",
      "tailscale.dst.node": "external",
      "destination.address": "2001:db8::1",
      "destination.port": 53,
    },
    "100.64.1.1 → [2001:db8::1]:53  udp  tx 64 B, rx 3.40 MB  exit",
  ],
  [
    "a relay",
    {
      "network.transport": "unknown",
      "tailscale.traffic_type": "physical",
      "tailscale.src.node": "laptop",
      "tailscale.path": "derp",
      "tailscale.derp.region_id": 4,
    },
    "laptop → DERP region 4  tx 64 B, rx 3.40 MB  physical, derp",
  ],
  ["what is absent as such", { "tailscale.traffic_type": "subnet" }, "? → ?  tx 64 B, rx 3.40 MB  subnet"],
])("a connection shows %s", (_, attributes, text) => {
  expect(eventText(event("flow", { ...attributes, ...counters }))).toBe(text);
});

const change = {
  "tailscale.audit.action": "UPDATE",
  "tailscale.audit.origin": "ADMIN_CONSOLE",
  "tailscale.target.type": "TAILNET",
  "tailscale.target.property": "ACL",
};

test.each<[string, LogAttributes, string]>([
  [
    "old and new value",
    { ...change, "user.name": "ann@example.com", "tailscale.audit.old": "a", "tailscale.audit.new": "b" },
    "ann@example.com: changed the policy file via ADMIN_CONSOLE: a → b",
  ],
  [
    "why it failed",
    { ...change, "user.full_name": "Ann Example", "error.message": "not allowed" },
    "Ann Example: changed the policy file via ADMIN_CONSOLE, which failed: not allowed",
  ],
  [
    "a policy file as a diff beside the line",
    { ...change, "tailscale.audit.old": "{}", "tailscale.audit.new": "{}", "tailscale.audit.diff": "-a\n+b" },
    "Tailscale: changed the policy file via ADMIN_CONSOLE",
  ],
])("an audit record shows %s", (_, attributes, text) => {
  expect(eventText(event("audit", attributes))).toBe(text);
});

test("a diff is escaped line by line, and long lines are truncated", () => {
  const diff = diffOf(event("audit", { "tailscale.audit.diff": `-a\u001b[2J\n+${"b".repeat(4000)}` }));
  expect(diff[0]).toBe("-a?[2J");
  expect(diff[1]).toHaveLength(160);
  expect(diffOf(event("audit", {}))).toEqual([]);
});

test("a webhook event shows its type, message and actor", () => {
  const attributes = { "tailscale.webhook.type": "nodeCreated", "tailscale.webhook.actor": ["ann", "bob"] };
  expect(eventText(event("webhook", attributes, "Node\nweb"))).toBe("nodeCreated: Node?web (by ann, bob)");
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [123_456, "123 kB"],
  [4_210_000, "4.21 MB"],
  [999_999, "1.00 MB"],
  [999_499_999, "999 MB"],
  [5e15, "5.00 PB"],
])("%d bytes are %s", (amount, text) => {
  expect(bytes(amount)).toBe(text);
});
