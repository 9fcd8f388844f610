/** Tests that each golden file's record becomes its log events and points. A new case is a new file. */
import { describe as suite, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { PrivacySettings } from "../../src/catalogue/logs.ts";
import { formatRfc3339 } from "../../src/lib/rfc3339.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { type Increments, noIncrements } from "../../src/catalogue/increments.ts";
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import { type Device, describe, directoryOf, measure, type ProcessorSettings } from "../../src/processors/index.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { FlowColumns } from "../../src/records/flow/columns.ts";
import { readFlow } from "../../src/records/flow/reader.ts";
import { FlowRowDecoder } from "../../src/records/flow/rows.ts";
import { unwrapped } from "../support/records.ts";
import { auditOf, privacyWith, settingsWith, webhookOf } from "./given.ts";
import { type Point, pointsOf } from "./points.ts";

interface GoldenCase {
  readonly why: string;
  /** Required if its shape does not show it. */
  readonly type?: "webhook";
  /** The record, with or without an envelope. */
  readonly record: JsonObject;
  readonly options?: Partial<ProcessorSettings>;
  /** The directory; if absent, none has been read. */
  readonly devices?: readonly Device[];
  /** Categories that are not kept. A hash is `hash-` and 16 digits of SHA-256 over salt, line feed and text. */
  readonly privacy?: Partial<PrivacySettings["actions"]>;
  /** Times are written as text. */
  readonly logs: readonly JsonObject[];
  /** In the mode `all`. A metric that every record counts is listed completely or not at all. */
  readonly metrics: readonly JsonObject[];
}

/** Counted for every record, and listed only if a case is about it. */
const everywhere = new Set([
  "tailscale.network.reporter.observations",
  "tailscale.network.field.observations",
  "tailscale.network.unique.dst_peers",
  "tailscale.network.unique.dst_ports",
  "tailscale.config.audit.schema_drift",
]);

const folder = new URL("../golden/", import.meta.url);
/** Cases in this folder take precedence. */
const changed = new URL("../golden/", import.meta.url);
const acceptedAt = Date.parse("2026-11-02T09:16:00Z");

const names = readdirSync(fileURLToPath(folder)).filter((name) => name.endsWith(".json"));

test("the golden files are found", () => {
  expect(names.length).toBeGreaterThanOrEqual(80);
});

function settingsOf({ options, devices, privacy }: GoldenCase): ProcessorSettings {
  return settingsWith({
    ...options,
    directory: { current: devices && directoryOf(devices) },
    privacy: privacy && privacyWith(privacy, "golden-salt"),
  });
}

suite.each(names.map((name) => [name.replace(".json", ""), readCase(name)] as const))("%s", (_, golden) => {
  const settings = settingsOf(golden);

  test(`log: ${golden.why}`, () => {
    expect(eventsOf(golden, settings).map(shown)).toEqual([...golden.logs]);
  });

  test("metrics", async () => {
    const listed = new Set(golden.metrics.map(({ metric }) => metric));
    const points = (await pointsOfCase(golden, settings)).filter(
      ({ metric }) => !everywhere.has(metric) || listed.has(metric),
    );
    expect(inOrder(points)).toEqual(inOrder(golden.metrics));
  });
});

function readCase(name: string): GoldenCase {
  const from = existsSync(new URL(name, changed)) ? changed : folder;
  return JSON.parse(readFileSync(new URL(name, from), "utf8")) as GoldenCase;
}

/** Events described at once, which must equal those described from the stored line. */
function eventsOf({ type, record }: GoldenCase, settings: ProcessorSettings): readonly LogEvent[] {
  if (type === "webhook") return [describe(webhookOf(record), settings, acceptedAt)];
  const columns = columnsOf(record);
  if (columns === undefined) return [describe(auditOf(record), settings, acceptedAt)];
  const describer = new FlowDescriber(settings);
  const stored = new FlowColumns();
  const line = unwrapped(record).records[0]?.line ?? new Uint8Array();
  new FlowRowDecoder(new ClaimTable()).decode(line, undefined, stored);
  const [events, again] = [columns, stored].map((from) =>
    Array.from({ length: describer.logRecords(from, 0) }, (_, index) => describer.event(from, 0, index, acceptedAt)),
  );
  expect(again).toEqual(events);
  return events ?? [];
}

/** The columns of a flow record; undefined for other records. */
function columnsOf(value: JsonObject): FlowColumns | undefined {
  const [raw] = unwrapped(value).records;
  if (raw?.type !== "flow") return undefined;
  const columns = new FlowColumns();
  readFlow(raw.value, raw.recorded, new ClaimTable(), columns);
  return columns;
}

function pointsOfCase({ type, record }: GoldenCase, settings: ProcessorSettings): Promise<readonly Point[]> {
  const increments: Increments = noIncrements();
  const edges = new EdgeBook(settings);
  const columns = type === "webhook" ? undefined : columnsOf(record);
  if (columns !== undefined) measureFlow(columns, 0, columns.records, { settings, edges, ends: new EndBook(settings) });
  else measure(type === "webhook" ? webhookOf(record) : auditOf(record), settings, increments);
  return pointsOf(columns, edges, increments);
}

/** In a form for `toEqual`: the event's name is a member, and times are text. */
function shown({ name, severity, time, observedTime, body, attributes }: LogEvent): object {
  return { name, severity, time: formatRfc3339(time), observedTime: formatRfc3339(observedTime), body, attributes };
}

function inOrder(list: readonly object[]): readonly string[] {
  return list.map((item) => JSON.stringify(sorted(item))).toSorted();
}

function sorted(item: object): object {
  const members = Object.entries(item) as [string, unknown][];
  return Object.fromEntries(
    members
      .map(([name, member]) => [name, typeof member === "object" && member !== null ? sorted(member) : member] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}
