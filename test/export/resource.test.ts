/** Who is speaking, as far as privacy shows it. */
import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { commonAttributes, resourcesOf } from "../../src/export/resource.ts";
import { processorSettingsOf } from "../../src/processors/index.ts";
import { configWith } from "./settings.ts";

const secrets = { identitySecret: "00".repeat(16), privacySalt: "salt", tailnet: 1 };

function resourcesWith(assignments: readonly string[]) {
  const config = configWith(assignments);
  const settings = processorSettingsOf(config, secrets);
  return { ...resourcesOf(config, settings, "instance-1"), common: commonAttributes(settings) };
}

test("logs name the host, and metrics nothing that changes with a container or a version", () => {
  const { logs, metrics } = resourcesWith([]);
  expect(logs).toEqual({ ...metrics, "host.name": hostname() });
  expect(metrics).toMatchObject({ "service.name": "tailscale2otel", "service.instance.id": "instance-1" });
  expect(Object.keys(metrics).filter((name) => /^host|version/.test(name))).toEqual(["telemetry.sdk.version"]);
});

test("what the operator sets wins", () => {
  const { metrics } = resourcesWith([
    "self_observability.instance_id=edge-1",
    "resource.attributes.service.name=edge",
    "resource.attributes.deployment.environment.name=production",
  ]);
  expect(metrics).toMatchObject({
    "service.instance.id": "edge-1",
    "service.name": "edge",
    "deployment.environment.name": "production",
  });
});

test("points carry the tailnet's name if it is known and not hidden", () => {
  expect(resourcesWith([]).common).toEqual({});
  expect(resourcesWith(["tailscale.tailnet=example.com"]).common).toEqual({ "tailscale.tailnet": "example.com" });
  expect(resourcesWith(["tailscale.tailnet=example.com", "privacy.tailnet_name=drop"]).common).toEqual({});
  const { common } = resourcesWith(["tailscale.tailnet=example.com", "privacy.tailnet_name=hash"]);
  expect(common["tailscale.tailnet"]).not.toContain("example.com");
});

test("privacy hides the name of this machine too", () => {
  expect(resourcesWith(["privacy.hostnames=drop"]).logs).not.toHaveProperty(["host.name"]);
  expect(resourcesWith(["privacy.hostnames=hash"]).logs["host.name"]).not.toBe(hostname());
});
