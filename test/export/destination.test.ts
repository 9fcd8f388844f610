/** Addresses and headers of each signal. */
import { describe, expect, test } from "bun:test";
import { destinationOf, type EndpointOptions } from "../../src/export/destination.ts";

const options: EndpointOptions = {
  endpoint: "http://127.0.0.1:4318",
  headers: { "X-Scope-OrgID": "home" },
  logs: { endpoint: "", headers: {} },
  metrics: { endpoint: "", headers: {} },
  compression: "gzip",
  timeoutMs: 10_000,
  userAgent: "tailscale2otel/1.2.3",
};

describe("the address", () => {
  test.each([
    ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"],
    ["http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/logs"],
    ["http://127.0.0.1:9428/insert/opentelemetry", "http://127.0.0.1:9428/insert/opentelemetry/v1/logs"],
    ["https://otlp.example.com/otlp/?tenant=a", "https://otlp.example.com/otlp/v1/logs?tenant=a"],
  ])("a base %s gets the signal's path", (endpoint, url) => {
    expect(destinationOf("logs", { ...options, endpoint })?.url).toBe(url);
  });

  test("a signal's own is used as written", () => {
    const own = { ...options, metrics: { endpoint: "http://127.0.0.1:9090/api/v1/otlp/v1/metrics", headers: {} } };
    expect(destinationOf("metrics", own)?.url).toBe("http://127.0.0.1:9090/api/v1/otlp/v1/metrics");
    expect(destinationOf("logs", own)?.url).toBe("http://127.0.0.1:4318/v1/logs");
  });

  test("none is local mode", () => {
    expect(destinationOf("logs", { ...options, endpoint: "" })).toBeUndefined();
  });
});

describe("headers", () => {
  test("a signal's own win, whatever the case of their names", () => {
    const own = { ...options, logs: { endpoint: "", headers: { "x-scope-orgid": "logs" } } };
    expect(destinationOf("logs", own)?.headers).toEqual({
      "user-agent": "tailscale2otel/1.2.3",
      "x-scope-orgid": "logs",
    });
    expect(destinationOf("metrics", own)?.headers).toMatchObject({ "x-scope-orgid": "home" });
  });

  test("credentials in the address become one, and leave the address", () => {
    const destination = destinationOf("logs", { ...options, endpoint: "https://123:glc_%40x@otlp.example.com/otlp" });
    expect(destination?.url).toBe("https://otlp.example.com/otlp/v1/logs");
    expect(destination?.headers["authorization"]).toBe(`Basic ${btoa("123:glc_@x")}`);
  });
});
