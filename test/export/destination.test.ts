/** Tests each signal's address, headers and certificates, and what the resource reveals under privacy settings. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../../src/errors.ts";
import { commonAttributes, destinationOf as destination, resourcesOf } from "../../src/export/destination.ts";
import { processorSettingsOf } from "../../src/processors/settings.ts";
import { configWith, type OtlpConfig, otlpConfig } from "./settings.ts";

const base = otlpConfig({ endpoint: "http://127.0.0.1:4318", headers: { "X-Scope-OrgID": "home" } });
const destinationOf = (signal: "logs" | "metrics", change: Partial<OtlpConfig> = {}) =>
  destination(signal, { ...base, ...change }, "tailscale2otel/1.2.3");

describe("the address", () => {
  test.each([
    ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"],
    ["http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/logs"],
    ["http://127.0.0.1:9428/insert/opentelemetry", "http://127.0.0.1:9428/insert/opentelemetry/v1/logs"],
    ["https://otlp.example.com/otlp/?tenant=a", "https://otlp.example.com/otlp/v1/logs?tenant=a"],
  ])("a base %s gets the signal's path", (endpoint, url) => {
    expect(destinationOf("logs", { endpoint })?.url).toBe(url);
  });

  test("of a signal is used as written", () => {
    const metrics = { ...base.metrics, endpoint: "http://127.0.0.1:9090/api/v1/otlp/v1/metrics" };
    expect(destinationOf("metrics", { metrics })?.url).toBe("http://127.0.0.1:9090/api/v1/otlp/v1/metrics");
    expect(destinationOf("logs", { metrics })?.url).toBe("http://127.0.0.1:4318/v1/logs");
  });

  test("is absent in local mode", () => {
    expect(destinationOf("logs", { endpoint: "" })).toBeUndefined();
  });
});

describe("headers", () => {
  test("of a signal take precedence, regardless of the case of their names", () => {
    const logs = { ...base.logs, headers: { "x-scope-orgid": "logs" } };
    expect(destinationOf("logs", { logs })?.headers).toEqual({
      "user-agent": "tailscale2otel/1.2.3",
      "x-scope-orgid": "logs",
    });
    expect(destinationOf("metrics", { logs })?.headers).toMatchObject({ "x-scope-orgid": "home" });
  });

  test("are made from credentials in the address, which are removed from it", () => {
    const found = destinationOf("logs", { endpoint: "https://123:glc_%40x@otlp.example.com/otlp" });
    expect(found?.url).toBe("https://otlp.example.com/otlp/v1/logs");
    expect(found?.headers["authorization"]).toBe(`Basic ${btoa("123:glc_@x")}`);
  });

  test("are made from Grafana Cloud credentials, unless one is set explicitly", () => {
    const cloud = { grafana_cloud: { instance_id: "42", token: "glc_example" } };
    expect(destinationOf("logs", cloud)?.headers["authorization"]).toBe(`Basic ${btoa("42:glc_example")}`);
    const written = { ...cloud, headers: { Authorization: "Bearer own" } };
    expect(destinationOf("logs", written)?.headers["authorization"]).toBe("Bearer own");
  });
});

describe("certificates", () => {
  test("are read, and an unreadable one is named with its setting", () => {
    const directory = mkdtempSync(join(tmpdir(), "destination-"));
    const path = join(directory, "ca.pem");
    writeFileSync(path, "PEM");
    const tls = { ...base.tls, ca_file: path, insecure_skip_verify: true };
    expect(destinationOf("logs", { tls })?.tls).toEqual({ ca: "PEM", insecureSkipVerify: true });
    rmSync(directory, { recursive: true });
    expect(() => destinationOf("logs", { tls })).toThrow(ConfigError);
    expect(() => destinationOf("logs", { tls })).toThrow(/otlp\.tls\.ca_file: cannot read/);
  });

  test("are absent if none are set", () => {
    expect(destinationOf("logs")?.tls).toBeUndefined();
  });
});

const secrets = { identitySecret: "00".repeat(16), privacySalt: "salt", tailnet: 1 };

function resourcesWith(assignments: readonly string[]) {
  const config = configWith(assignments);
  const settings = processorSettingsOf(config, secrets);
  return { ...resourcesOf(config, settings, "instance-1"), common: commonAttributes(settings) };
}

test("logs name the host, but metrics have nothing that changes with a container or a version", () => {
  const { logs, metrics } = resourcesWith([]);
  expect(logs).toEqual({ ...metrics, "host.name": hostname() });
  expect(metrics).toMatchObject({ "service.name": "tailscale2otel", "service.instance.id": "instance-1" });
  expect(Object.keys(metrics).filter((name) => /^host|version/.test(name))).toEqual(["telemetry.sdk.version"]);
});

test("attributes that the operator sets take precedence", () => {
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

test("points have the tailnet's name if it is known and not hidden", () => {
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
