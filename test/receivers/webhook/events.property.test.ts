/** Any body is either refused, or every event in it is stored as received, measured and described. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { noIncrements } from "../../../src/catalogue/increments.ts";
import { Refusal } from "../../../src/errors.ts";
import { describe as describeRecord, measure } from "../../../src/processors/index.ts";
import { addEvents } from "../../../src/receivers/webhook/index.ts";
import { recordOfLine } from "../../../src/records/envelope.ts";
import { decodeWebhook, factOfEvent } from "../../../src/records/plain.ts";
import { Defect, type RawRecord } from "../../../src/records/types.ts";
import { settingsWith } from "../../processors/given.ts";
import { seeded } from "../../support/random.ts";

const settings = settingsWith();
const text = fc.string({ unit: "binary" });
const members = ["nodeID", "deviceName", "actor", "url", "user", "oldRoles", "newRoles", "oldPolicy", "__proto__"];
const event = fc.record(
  {
    type: fc.oneof(fc.constantFrom("nodeCreated", "userDeleted", "test", "other"), text),
    timestamp: fc.oneof(
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      text,
    ),
    version: fc.oneof(fc.integer(), fc.double()),
    tailnet: text,
    message: text,
    data: fc.dictionary(fc.oneof(fc.constantFrom(...members), text), fc.jsonValue()),
    more: fc.jsonValue(),
  },
  { requiredKeys: ["type"] },
);

function take(body: Uint8Array): readonly RawRecord[] | Refusal {
  try {
    const records: RawRecord[] = [];
    const batch = { addRecord: (raw: RawRecord) => void records.push(raw) };
    for (const _ of addEvents(batch, { chunks: [body], bytes: body.byteLength }));
    return records;
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal);
    return error as Refusal;
  }
}

const bytesOf = (body: string): Uint8Array => new TextEncoder().encode(body);

test("events with the right types are all accepted, and round-trip through their lines", () => {
  const spaces = fc.constantFrom(undefined, 1, "\t", "\r\n");
  fc.assert(
    fc.property(
      fc.array(
        event.filter(({ type }) => type !== ""),
        { maxLength: 8 },
      ),
      spaces,
      (events, space) => {
        const indent = space === "\r\n" ? 1 : space;
        const body = JSON.stringify(events, undefined, indent).replaceAll("\n", space === "\r\n" ? "\r\n" : "\n");
        const parsed = JSON.parse(body) as unknown[];
        const records = take(bytesOf(body)) as readonly RawRecord[];
        expect(records.map(({ value }) => value as unknown)).toEqual(parsed);
        for (const { line, value } of records) {
          expect(new TextDecoder().decode(line)).not.toMatch(/[\r\n]/);
          const record = decodeWebhook(recordOfLine(line, "webhook"));
          expect(record).toEqual(decodeWebhook(recordOfLine(bytesOf(JSON.stringify({ event: value })), "webhook")));
          measure(record, settings, noIncrements());
          expect(describeRecord(record, settings, 0).name.length).toBeLessThan(200);
          factOfEvent(record);
        }
        expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
      },
    ),
    seeded(300),
  );
});

test("anything else is refused or left to the decoder, and throws no other error", () => {
  const json = fc.jsonValue().map((value) => bytesOf(JSON.stringify(value)));
  const lists = fc.array(fc.jsonValue()).map((value) => bytesOf(JSON.stringify(value)));
  fc.assert(
    fc.property(fc.oneof(json, lists, fc.uint8Array({ maxLength: 200 })), (body) => {
      const taken = take(body);
      if (taken instanceof Refusal) return;
      for (const record of taken) {
        try {
          expect(decodeWebhook(record).eventType).not.toBe("");
        } catch (error) {
          expect(error).toBeInstanceOf(Defect);
        }
      }
    }),
    seeded(500),
  );
});

test.each([["[".repeat(100_000)]])("deep nesting is refused", (body) => {
  expect(take(bytesOf(body))).toBeInstanceOf(Refusal);
});
