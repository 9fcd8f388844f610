/** Every file of `test/golden/` is a record, and what it must become: log events, and points of the ledger. A new case is a new file. */
import { describe as suite, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Increments, noIncrements } from "../../src/catalogue/increments.ts";
import { attributesOf, type LogEvent } from "../../src/catalogue/log-event.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { type PrivacySettings, privacyCategories } from "../../src/catalogue/logs.ts";
import { formatRfc3339 } from "../../src/lib/rfc3339.ts";
import { type Device, directoryOf } from "../../src/processors/directory.ts";
import { describe, describeLine, measure, type ProcessorOptions } from "../../src/processors/index.ts";
import { decodeRecord } from "../../src/records/decode.ts";
import { recordOfLine } from "../../src/records/envelope.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { webhookRecord } from "../../src/records/webhook.ts";
import { rawOf } from "../support/records.ts";

interface GoldenCase {
  readonly why: string;
  /** Where it is not told by its shape. */
  readonly type?: "webhook";
  /** The record, bare or wrapped. */
  readonly record: JsonObject;
  readonly options?: Partial<ProcessorOptions>;
  /** The directory; absent: none has been read. */
  readonly devices?: readonly Device[];
  /** What is not kept. Hashes are `hash-` and 16 digits of SHA-256 over salt, line feed and text. */
  readonly privacy?: Partial<PrivacySettings["actions"]>;
  /** With times as text. */
  readonly logs: readonly JsonObject[];
  /** In the mode `all`. What is counted of every record is listed where a case is about it: then all of that metric. */
  readonly metrics: readonly JsonObject[];
}

/** Counted of every record, and listed only where a case is about it. */
const everywhere = new Set([
  "tailscale.network.reporter.observations",
  "tailscale.network.field.observations",
  "tailscale.network.unique.dst_peers",
  "tailscale.network.unique.dst_ports",
  "tailscale.config.audit.schema_drift",
]);

const folder = new URL("../golden/", import.meta.url);
const acceptedAt = Date.parse("2026-11-02T09:16:00Z");
const defaults: ProcessorOptions = {
  collapseExternal: true,
  flowLogMode: "per_connection",
  tailnet: "",
  uidKey: undefined,
};

function readCase(name: string): GoldenCase {
  return JSON.parse(readFileSync(new URL(name, folder), "utf8")) as GoldenCase;
}

/** As `toEqual` compares them: the name of the event is a member like others, times are text. */
function shown(event: LogEvent): object {
  const { name, severity, time, observedTime, body } = event;
  const attributes = attributesOf(event);
  const sets = [...event.shared, event.attributes];
  expect(sets.flatMap((set) => Object.keys(set))).toHaveLength(Object.keys(attributes).length);
  return { name, severity, time: formatRfc3339(time), observedTime: formatRfc3339(observedTime), body, attributes };
}

function points(increments: Increments, listed: readonly JsonObject[]): object[] {
  const metricsListed = new Set(listed.map(({ metric }) => metric));
  const ledger = new Ledger({ metricsMode: "all", rollupTopN: 1, metricLimit: 100, idleFolds: 1 }, 0);
  ledger.add(increments);
  return ledger
    .fold(1, 0, () => {})
    .metrics.filter(({ name }) => !everywhere.has(name) || metricsListed.has(name))
    .flatMap(({ name, series }) => series.map(({ attributes, value }) => ({ metric: name, attributes, value })));
}

const inOrder = (list: readonly object[]): string[] => list.map((item) => JSON.stringify(sorted(item))).toSorted();

function sorted(item: object): object {
  return Object.fromEntries(
    Object.entries(item)
      .map(
        ([name, member]) =>
          [
            name,
            typeof member === "object" && member !== null ? sorted(member as object) : (member as unknown),
          ] as const,
      )
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

const names = readdirSync(fileURLToPath(folder)).filter((name) => name.endsWith(".json"));

test("there are cases", () => {
  expect(names.length).toBeGreaterThanOrEqual(80);
});

function optionsOf({ options, devices, privacy }: GoldenCase): ProcessorOptions {
  return {
    ...defaults,
    ...options,
    ...(devices && { directory: { current: directoryOf(devices) } }),
    ...(privacy && { privacy: { actions: { ...allKept, ...privacy }, salt: "golden-salt" } }),
  };
}

const allKept = Object.fromEntries(
  privacyCategories.map((category) => [category, "keep"]),
) as PrivacySettings["actions"];

suite.each(names.map((name) => [name.replace(".json", ""), readCase(name)] as const))("%s", (_, golden) => {
  const { why, type, record, logs, metrics } = golden;
  const raw = type === "webhook" ? webhookRecord(record, JSON.stringify(record)) : rawOf(record);
  const processorOptions = optionsOf(golden);

  test(`log: ${why}`, () => {
    expect(describe(decodeRecord(raw), processorOptions, acceptedAt).map(shown)).toEqual([...logs]);
  });

  test("log from its stored line", () => {
    expect(describeLine(raw.line, raw.type, processorOptions, acceptedAt).map(shown)).toEqual([...logs]);
  });

  test("metrics", () => {
    for (const measured of [raw, recordOfLine(raw.line, raw.type)]) {
      const increments = noIncrements();
      measure(decodeRecord(measured), processorOptions, increments);
      expect(inOrder(points(increments, metrics))).toEqual(inOrder(metrics));
    }
  });
});
