/** Tests the words for events: who did what to whom. */
import { expect, test } from "bun:test";
import { actorOf, eventWords, readable } from "../../src/catalogue/event-words.ts";
import type { LogAttributes } from "../../src/catalogue/log-event.ts";

const audit = (attributes: LogAttributes) => ({ name: "tailscale.config.audit", body: "", attributes });

test.each<[LogAttributes, string]>([
  [{ "tailscale.audit.action": "UPDATE", "tailscale.target.property": "ACL" }, "changed the policy file"],
  [{ "tailscale.audit.action": "UPDATE", "tailscale.target.property": "ACL_TAGS" }, "changed ACL tags"],
  [{ "tailscale.audit.action": "DELETE", "tailscale.target.type": "API_KEY" }, "deleted API key"],
  [{ "tailscale.audit.action": "LOGIN", "tailscale.target.type": "USER" }, "signed in"],
  [{ "tailscale.audit.action": "EXPIRED", "tailscale.target.type": "NODE" }, "expired node"],
  [{ "tailscale.audit.action": "UPDATE" }, "changed"],
  [{}, ""],
])("%j is %s", (attributes, what) => {
  expect(eventWords(audit(attributes))).toEqual({ actor: "", what, target: "", failure: "" });
});

test.each(["valueOf", "constructor", "__proto__"])("the action %s is treated like any other word", (action) => {
  const attributes = { "tailscale.audit.action": action, "tailscale.target.type": "NODE" };
  expect(eventWords(audit(attributes)).what).toBe(`${readable(action)} node`);
});

test.each([
  ["MAGIC_DNS", "MagicDNS"],
  ["ACL", "the policy file"],
  ["OAUTH_ACCESS_TOKEN", "OAUTH access token"],
  ["", ""],
  ["<IMG_SRC=X>", "<img src=x>"],
])("%s is %s", (word, text) => {
  expect(readable(word)).toBe(text);
});

test("the actor is a person, a machine, or nobody", () => {
  expect(actorOf(audit({ "tailscale.actor.tags": "tag:ci", "user.id": "u1" }))).toBe("tag:ci");
  const webhook = { name: "tailscale.webhook.nodeCreated", attributes: { "tailscale.webhook.actor": ["ann", "bob"] } };
  expect(actorOf(webhook)).toBe("ann, bob");
  expect(actorOf({ name: "tailscale.network.flow", attributes: { "source.address": "100.64.1.1" } })).toBe(
    "100.64.1.1",
  );
  expect(actorOf(audit({}))).toBe("");
});
