/** The address, token and compression that a log stream is set to, and the equality of addresses. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectConfig } from "../../src/config/index.ts";
import { isSameAddress, isSentTo, logStreamTargetOf, publicAddress } from "../../src/tailnet/log-streams.ts";
import { sourcesIn } from "../config/sources.ts";

const directory = mkdtempSync(join(tmpdir(), "stream-addresses-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const configOf = (...set: string[]) => inspectConfig(sourcesIn(directory, { set })).config;

describe("the address", () => {
  test.each([
    ["https://logs.example.com", "https://logs.example.com/in"],
    ["https://logs.example.com/", "https://logs.example.com/in"],
    ["https://logs.example.com?a=b", "https://logs.example.com/in?a=b"],
    ["https://logs.example.com/behind/a/proxy", "https://logs.example.com/behind/a/proxy"],
    ["http://[fd7a:115c:a1e0::1]:8088", "http://[fd7a:115c:a1e0::1]:8088/in"],
  ])("%s becomes %s", (publicUrl, called) => {
    expect(publicAddress(publicUrl, "/in")).toBe(called);
  });

  test.each([
    ["https://LOGS.example.com:443/in/", "https://logs.example.com/in", true],
    ["https://logs.example.com/", "https://logs.example.com", true],
    ["https://logs.example.com/in?a=b", "https://logs.example.com/in", false],
    ["http://logs.example.com/in", "https://logs.example.com/in", false],
    ["https://logs.example.com:8088/in", "https://logs.example.com/in", false],
    ["https://logs.example.com/IN", "https://logs.example.com/in", false],
    ["no address", "no address", true],
  ])("%s and %s: equal is %p", (one, other, isSame) => {
    expect(isSameAddress(one, other)).toBe(isSame);
    expect(isSameAddress(other, one)).toBe(isSame);
  });
});

test("a stream is sent to an address only if it is a Splunk destination with that address", () => {
  const url = "https://logs.example.com/in";
  expect(isSentTo(url, { destinationType: "splunk", url: `${url}/` })).toBe(true);
  expect(isSentTo(url, { destinationType: "splunk", url: "https://siem.example.com/in" })).toBe(false);
  expect(isSentTo(url, { destinationType: "datadog", url })).toBe(false);
  expect(isSentTo(url, undefined)).toBe(false);
});

test("the settings determine address, token and compression", () => {
  const set = ["streaming.public_url=https://logs.example.com", "streaming.token=a-secret-token"];
  expect(logStreamTargetOf(configOf(...set))).toEqual({
    url: "https://logs.example.com/services/collector/event",
    user: "tailscale2otel",
    token: "a-secret-token",
    compressionFormat: "zstd",
  });
  for (const form of ["gzip", "zstd", "none"] as const) {
    const { compressionFormat } = logStreamTargetOf(configOf(...set, `streaming.decompress=${form}`));
    expect(compressionFormat).toBe(form);
  }
});
