/** What a log stream is to be, and what is remembered of the one that was put. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectConfig } from "../../src/config/index.ts";
import { fingerprintsIn } from "../../src/tailnet/log-stream-target.ts";
import {
  judgeLogStream,
  logStreamTargetOf,
  type LogStreamVerdict,
  wantedLogsOf,
} from "../../src/tailnet/log-stream-target.ts";
import { isSameAddress, publicAddress } from "../../src/tailnet/log-stream-target.ts";
import type { LogStream, LogStreamTarget } from "../../src/tailscale/index.ts";
import { sourcesIn } from "../config/sources.ts";

const directory = mkdtempSync(join(tmpdir(), "log-stream-setting-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const configOf = (...set: string[]) => inspectConfig(sourcesIn(directory, { set })).config;

const target: LogStreamTarget = {
  url: "https://logs.example.com/services/collector/event",
  user: "tailscale2otel",
  token: "a-secret-token",
  compressionFormat: "zstd",
};

describe("the address", () => {
  test.each([
    ["https://logs.example.com", "https://logs.example.com/in"],
    ["https://logs.example.com/", "https://logs.example.com/in"],
    ["https://logs.example.com?a=b", "https://logs.example.com/in?a=b"],
    ["https://logs.example.com/behind/a/proxy", "https://logs.example.com/behind/a/proxy"],
    ["http://[fd7a:115c:a1e0::1]:8088", "http://[fd7a:115c:a1e0::1]:8088/in"],
  ])("%s is called as %s", (publicUrl, called) => {
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
  ])("%s and %s: the same is %p", (one, other, isSame) => {
    expect(isSameAddress(one, other)).toBe(isSame);
    expect(isSameAddress(other, one)).toBe(isSame);
  });
});

describe("from the settings", () => {
  test("come address, token, and the form that the receiver takes", () => {
    const set = ["streaming.public_url=https://logs.example.com", "streaming.token=a-secret-token"];
    expect(logStreamTargetOf(configOf(...set))).toEqual(target);
    for (const form of ["gzip", "zstd", "none"] as const) {
      const { compressionFormat } = logStreamTargetOf(configOf(...set, `streaming.decompress=${form}`));
      expect(compressionFormat).toBe(form);
    }
  });

  test("come the logs that are wanted", () => {
    expect(wantedLogsOf(configOf())).toEqual(["network", "configuration"]);
    expect(wantedLogsOf(configOf("collectors.auditlogs.enabled=false"))).toEqual(["network"]);
    expect(wantedLogsOf(configOf("collectors.flowlogs.enabled=false"))).toEqual(["configuration"]);
  });
});

describe("what is there", () => {
  const present: LogStream = {
    destinationType: "splunk",
    url: target.url,
    user: target.user,
    compressionFormat: target.compressionFormat,
  };
  const cases: readonly [string, LogStream | undefined, "held" | "forgotten", LogStreamVerdict][] = [
    ["as it was put", present, "held", "as_put"],
    ["as it was put, written otherwise", { ...present, url: `${target.url}/` }, "held", "as_put"],
    ["ours with a token that may be another", present, "forgotten", "changed"],
    ["ours with another user", { ...present, user: "somebody" }, "held", "changed"],
    ["ours with another compression", { ...present, compressionFormat: "none" }, "held", "changed"],
    ["elsewhere", { ...present, url: "https://siem.example.com/services/collector/event" }, "held", "foreign"],
    ["of another kind", { ...present, destinationType: "datadog" }, "held", "foreign"],
    ["nothing", undefined, "held", "absent"],
  ];
  test.each(cases)("%s", (_, there, memory, verdict) => {
    expect(judgeLogStream("network", there, target, { holds: () => memory === "held" })).toBe(verdict);
  });
});

describe("a fingerprint", () => {
  const state = (name: string): string => join(directory, name);

  test("holds for what was put of that log, and for nothing else", () => {
    const fingerprints = fingerprintsIn(state("a"));
    expect(fingerprints.holds("network", target)).toBe(false);
    fingerprints.keep("network", target);
    expect(fingerprintsIn(state("a")).holds("network", target)).toBe(true);
    expect(fingerprints.holds("configuration", target)).toBe(false);
    for (const other of [{ token: "another" }, { user: "x" }, { compressionFormat: "gzip" as const }, { url: "x" }]) {
      expect(fingerprints.holds("network", { ...target, ...other })).toBe(false);
    }
    fingerprints.keep("configuration", { ...target, token: "another" });
    expect(fingerprints.holds("network", target)).toBe(true);
    fingerprints.forget("network");
    expect(fingerprints.holds("network", target)).toBe(false);
    expect(fingerprints.holds("configuration", { ...target, token: "another" })).toBe(true);
  });

  test("tells nothing of the token, and differs from one state directory to the next", () => {
    for (const name of ["b", "c"]) fingerprintsIn(state(name)).keep("network", target);
    const texts = ["b", "c"].map((name) => readFileSync(join(state(name), "log-streams.json"), "utf8"));
    for (const text of texts) expect(text).not.toContain(target.token);
    const digests = texts.map((text) => (JSON.parse(text) as { network: string }).network);
    expect(digests[0]).not.toBe(digests[1]);
    expect(statSync(join(state("b"), "log-streams.json")).mode & 0o777).toBe(0o600);
    expect(readdirSync(state("b"))).toEqual(["log-streams.json"]);
  });

  test.each(["", "[]", "null", "{", '{"key":"00"}', '{"key":5,"network":"x"}'])(
    "in a damaged file is none: %j",
    (text) => {
      const fingerprints = fingerprintsIn(state("d"));
      fingerprints.keep("network", target);
      writeFileSync(join(state("d"), "log-streams.json"), text);
      expect(fingerprints.holds("network", target)).toBe(false);
      fingerprints.keep("network", target);
      expect(fingerprints.holds("network", target)).toBe(true);
    },
  );
});
