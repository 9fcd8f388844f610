/** From settings to what processors and ledger are told: every setting has an effect, and the defaults take the fast way. */
import { describe, expect, test } from "bun:test";
import { privacyCategories } from "../../src/catalogue/logs.ts";
import type { Config } from "../../src/config/index.ts";
import { ledgerOptionsOf } from "../../src/ledger/options.ts";
import type { ProcessorOptions } from "../../src/processors/index.ts";
import { processorOptionsOf } from "../../src/processors/options.ts";
import { inspectIn, temporaryDirectory } from "../config/sources.ts";

const directory = temporaryDirectory();
const secrets = { identityKey: { secret: "00", tailnet: 1 }, privacySalt: "salt" };

const configWith = (...set: readonly string[]): Config => inspectIn(directory, { set }).config;
const optionsWith = (...set: readonly string[]): ProcessorOptions => processorOptionsOf(configWith(...set), secrets);

test("the defaults tell nodes apart and nothing more, and hide nothing", () => {
  const options = optionsWith();
  expect(options.dimensions).toBeUndefined();
  expect(options.privacy).toBeUndefined();
  expect(options.uidKey).toBeUndefined();
  expect(options).toMatchObject({ collapseExternal: true, countsExitNodes: true, tailnet: "", directory: {} });
});

describe("dimensions", () => {
  const flow = "cardinality.flow";

  test.each([
    ["node_dims=false", { nodes: false }],
    ["identity_dims=true", { identity: true }],
  ] as const)("%s", (setting, expected) => {
    expect(optionsWith(`${flow}.${setting}`).dimensions).toMatchObject(expected);
  });

  test.each(["all", "both"])("ports with %s", (mode) => {
    const set = [`${flow}.metrics_mode=${mode}`, `${flow}.source_port=true`, `${flow}.destination_port=true`];
    expect(optionsWith(...set).dimensions).toEqual({
      nodes: true,
      identity: false,
      sourcePort: true,
      destinationPort: true,
    });
  });

  test("no ports with a roll-up alone, and a warning that says so", () => {
    const set = [`${flow}.source_port=true`];
    expect(optionsWith(...set).dimensions).toBeUndefined();
    expect(inspectIn(directory, { set }).warnings.join("\n")).toContain(
      `${flow}.source_port: it is set and has no effect`,
    );
  });

  test("the ledger is told whether nodes are told apart", () => {
    expect(ledgerOptionsOf(configWith(`${flow}.node_dims=false`)).hasNodes).toBe(false);
    expect(ledgerOptionsOf(configWith()).hasNodes).toBe(true);
  });
});

test.each([
  ["cardinality.flow.collapse_external=false", { collapseExternal: false }],
  ["cardinality.flow.exit_node_attribution=false", { countsExitNodes: false }],
  ["collectors.flowlogs.log_mode=per_record", { flowLogMode: "per_record" }],
  ["tailscale.tailnet=example.com", { tailnet: "example.com" }],
  ["otlp.logs.record_uid=true", { uidKey: { secret: "00", tailnet: 1 } }],
] as const)("%s", (setting, expected) => {
  expect(optionsWith(setting)).toMatchObject(expected);
});

test.each(privacyCategories)("privacy.%s, dropped or hashed with the journal's salt", (category) => {
  for (const action of ["drop", "hash"] as const) {
    const { privacy } = optionsWith(`privacy.${category}=${action}`);
    expect(privacy?.salt).toBe("salt");
    expect(Object.entries(privacy?.actions ?? {}).filter(([, found]) => found !== "keep")).toEqual([
      [category, action],
    ]);
  }
});

test("what goes to the worker can be copied", () => {
  const options = optionsWith(
    "privacy.emails=hash",
    "cardinality.flow.identity_dims=true",
    "otlp.logs.record_uid=true",
  );
  expect(structuredClone(options)).toEqual(options);
});
