/** Records for tests: Tailscale's shapes with reserved names, the shared samples, and conversion from values to records. */
import { readFileSync } from "node:fs";
import { decodeAudit } from "../../src/records/plain.ts";
import { unwrap } from "../../src/records/envelope.ts";
import type { AuditRecord, JsonObject, RawRecord, SkippedValue } from "../../src/records/types.ts";

/** A virtual connection between two nodes; `members` replace or extend its own. */
export function connection(members: JsonObject = {}): JsonObject {
  return {
    proto: 6,
    src: "100.64.1.1:40000",
    dst: "100.64.1.2:443",
    txPkts: 3,
    txBytes: 300,
    rxPkts: 2,
    rxBytes: 200,
    ...members,
  };
}

/** A flow record with one virtual connection. */
export function flowValue(members: JsonObject = {}): JsonObject {
  return {
    nodeId: "nONECNTRL",
    start: "2026-11-02T09:15:00Z",
    end: "2026-11-02T09:15:05Z",
    virtualTraffic: [connection()],
    ...members,
  };
}

/** An audit record as the stream delivers it. */
export function auditValue(members: JsonObject = {}): JsonObject {
  return {
    eventGroupID: "group-1",
    origin: "ADMIN_CONSOLE",
    actor: { id: "uONECNTRL", type: "USER", loginName: "alice@example.com", displayName: "Alice Example" },
    target: { id: "T1CNTRL", name: "example.com", type: "TAILNET", property: "ACL" },
    action: "UPDATE",
    old: "a",
    new: "b",
    ...members,
  };
}

/** An envelope as Tailscale sends it. */
export function enveloped(event: JsonObject, time: unknown = 1_793_610_908.125): JsonObject {
  return { time, event, fields: { recorded: "2026-11-02T09:15:07.204000111Z" } };
}

/** UTF-8. */
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

interface Unwrapped {
  readonly records: readonly RawRecord[];
  readonly skipped: readonly SkippedValue[];
}

/** The content of one top-level value. `text` is what `JSON.stringify` makes of it by default. */
export function unwrapped(value: unknown, text: string = JSON.stringify(value)): Unwrapped {
  const records: RawRecord[] = [];
  const skipped: SkippedValue[] = [];
  for (const found of unwrap(value, bytesOf(text))) {
    if ("reason" in found) skipped.push(found);
    else records.push(found);
  }
  return { records, skipped };
}

/** The only record in a value. */
export function rawOf(value: unknown): RawRecord {
  const [record] = unwrapped(value).records;
  if (record === undefined) throw new Error(`no record in ${JSON.stringify(value)}`);
  return record;
}

export function auditOf(value: unknown): AuditRecord {
  const raw = rawOf(value);
  if (raw.type !== "audit") throw new Error("not an audit record");
  return decodeAudit(raw);
}

const fixtures = new URL("../fixtures/", import.meta.url);

type SampleName = "hec-flow" | "hec-audit" | "api-network" | "api-configuration";

/** The records of a sample file, in order. */
export function sampleRecords(name: SampleName): readonly RawRecord[] {
  const text = readFileSync(new URL(`samples/${name}.json`, fixtures), "utf8");
  const list = name.startsWith("hec") ? `[${text.replaceAll("}{", "},{")}]` : text;
  return unwrapped(JSON.parse(list), list).records;
}
