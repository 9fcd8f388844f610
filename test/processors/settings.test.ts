/** Tests that each setting of the configuration changes the settings of the processors. */
import { describe, expect, test } from "bun:test";
import { privacyCategories } from "../../src/catalogue/logs.ts";
import type { Config } from "../../src/config/index.ts";
import { directoryOf } from "../../src/processors/index.ts";
import { type ProcessorSettings, processorSettingsOf } from "../../src/processors/settings.ts";
import { inspectIn, temporaryDirectory } from "../config/sources.ts";
import { devices } from "../support/devices.ts";

const directory = temporaryDirectory();
const secrets = { identitySecret: "00", tailnet: 1, privacySalt: "salt" };

const configWith = (...set: readonly string[]): Config => inspectIn(directory, { set }).config;
const settingsFrom = (...set: readonly string[]): ProcessorSettings => processorSettingsOf(configWith(...set), secrets);

const plain = { nodes: true, identity: false, sourcePort: false, destinationPort: false };

test("the defaults distinguish nodes and nothing else, and hide nothing", () => {
  expect(settingsFrom()).toEqual({
    collapseExternal: true,
    countsExitNodes: true,
    flowLogMode: "per_connection",
    tailnet: "",
    directory: { current: undefined },
    dimensions: plain,
    privacy: undefined,
    recordUid: undefined,
  });
});

describe("dimensions", () => {
  const flow = "cardinality.flow";

  test.each([
    ["node_dims=false", { nodes: false }],
    ["identity_dims=true", { identity: true }],
  ] as const)("%s", (setting, expected) => {
    expect(settingsFrom(`${flow}.${setting}`).dimensions).toMatchObject(expected);
  });

  test.each(["all", "both"])("include ports with %s", (mode) => {
    const set = [`${flow}.metrics_mode=${mode}`, `${flow}.source_port=true`, `${flow}.destination_port=true`];
    expect(settingsFrom(...set).dimensions).toEqual({
      nodes: true,
      identity: false,
      sourcePort: true,
      destinationPort: true,
    });
  });

  test("include no ports with a roll-up alone, and cause a warning", () => {
    const set = [`${flow}.source_port=true`];
    expect(settingsFrom(...set).dimensions).toEqual(plain);
    expect(inspectIn(directory, { set }).warnings.join("\n")).toContain(`${flow}.source_port: it has no effect`);
  });
});

test.each([
  ["cardinality.flow.collapse_external=false", { collapseExternal: false }],
  ["cardinality.flow.exit_node_attribution=false", { countsExitNodes: false }],
  ["collectors.flowlogs.log_mode=per_record", { flowLogMode: "per_record" }],
  ["tailscale.tailnet=example.com", { tailnet: "example.com" }],
  ["otlp.logs.record_uid=true", { recordUid: { secret: "00", tailnet: 1 } }],
] as const)("%s", (setting, expected) => {
  expect(settingsFrom(setting)).toMatchObject(expected);
});

test.each(privacyCategories)("privacy.%s, dropped or hashed with the journal's salt", (category) => {
  for (const action of ["drop", "hash"] as const) {
    const { privacy } = settingsFrom(`privacy.${category}=${action}`);
    expect(privacy?.salt).toBe("salt");
    expect(Object.entries(privacy?.actions ?? {}).filter(([, found]) => found !== "keep")).toEqual([
      [category, action],
    ]);
  }
});

test("settings can be copied to the worker", () => {
  const settings = settingsFrom(
    "privacy.emails=hash",
    "cardinality.flow.identity_dims=true",
    "otlp.logs.record_uid=true",
  );
  settings.directory.current = directoryOf(devices);
  expect(structuredClone(settings)).toEqual(settings);
});
