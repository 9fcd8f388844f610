/** Tests decoding audit records from stream and API. */
import { describe, expect, test } from "bun:test";
import { recordOfLine } from "../../src/records/envelope.ts";
import { decodeAudit } from "../../src/records/plain.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { auditValue, bytesOf, sampleRecords } from "../support/records.ts";

const decode = (value: JsonObject) =>
  decodeAudit({ value, line: bytesOf(JSON.stringify({ event: value })), time: [1, 2], recorded: [3, 4] });

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

describe("decodes", () => {
  test("the samples, the same from stream and API except for time and type", () => {
    const streamed = sampleRecords("hec-audit").map((raw) => decodeAudit(raw));
    const polled = sampleRecords("api-configuration").map((raw) => decodeAudit(raw));
    expect(streamed).toHaveLength(8);
    expect(polled.map(({ logType }) => logType)).toContain("CONFIG");
    expect(polled.map((record) => ({ ...record, time: 0, recorded: 0, logType: "" }))).toEqual(
      streamed.map((record) => ({ ...record, time: 0, recorded: 0 })),
    );
    streamed.forEach((record, place) => expect(record.time?.[0]).toBe(polled[place]?.time?.[0] as number));
  });

  test("a record without any known members", () => {
    expect(decode({ actor: {}, action: "LOGIN" })).toEqual({
      type: "audit",
      time: [1, 2],
      recorded: [3, 4],
      logType: "",
      eventGroupId: "",
      origin: "",
      actor: { id: "", type: "", loginName: "", displayName: "", tags: [] },
      target: { id: "", name: "", type: "", property: "", isEphemeral: undefined },
      action: "LOGIN",
      actionDetails: "",
      error: "",
      deferredAt: "",
      old: undefined,
      new: undefined,
      oldText: "",
      newText: "",
    });
  });

  test("values as they were received: digits, order of members, and a text without its quotes", () => {
    const event = String.raw`{"action":"UPDATE","actor":{},"old":12345678901234567890,"new": { "z": 1.0, "a": "x \" y" }}`;
    const line = `{"time":1.5,"event":${event}}`;
    const { oldText, newText } = decodeAudit(recordOfLine(bytesOf(line), "audit"));
    expect(oldText).toBe("12345678901234567890");
    expect(newText).toBe(String.raw`{"z":1.0,"a":"x \" y"}`);
    expect(decode(auditValue({ old: "a  b", new: null }))).toMatchObject({ oldText: "a  b", newText: "" });
  });

  test("the time at which the log service recorded it: logged, else that of the envelope", () => {
    expect(decode(auditValue({ logged: "1970-01-01T00:00:09Z" })).recorded).toEqual([9, 0]);
    expect(decode(auditValue()).recorded).toEqual([3, 4]);
  });

  test("the time of the event, else of the envelope, else of its recording", () => {
    expect(decode(auditValue({ eventTime: "1970-01-01T00:00:09.000000001Z" })).time).toEqual([9, 1]);
    expect(decode(auditValue()).time).toEqual([1, 2]);
    const timeless = { value: auditValue(), line: bytesOf("{}"), time: undefined };
    expect(decodeAudit({ ...timeless, recorded: [3, 4] }).time).toEqual([3, 4]);
    expect(decodeAudit({ ...timeless, recorded: undefined }).time).toBeUndefined();
  });

  test("values of any type, different for old and new, and null as absent", () => {
    const { old, new: next } = decode(auditValue({ old: "", new: ["tag:web"] }));
    expect([old, next]).toEqual(["", ["tag:web"]]);
    expect(decode(auditValue({ old: 1, new: null })).new).toBeUndefined();
    expect(decode(auditValue({ old: false })).old).toBe(false);
  });

  test("the zero time as not deferred", () => {
    expect(decode(auditValue({ deferredAt: "0001-01-01T00:00:00Z" })).deferredAt).toBe("");
    expect(decode(auditValue({ deferredAt: "2026-11-02T09:16:30.5Z" })).deferredAt).toBe("2026-11-02T09:16:30.5Z");
  });

  test("ephemeral targets that are explicitly not", () => {
    expect(decode(auditValue({ target: { isEphemeral: false } })).target.isEphemeral).toBe(false);
    expect(decode(auditValue({ target: { isEphemeral: null } })).target.isEphemeral).toBeUndefined();
  });

  test("values up to 128 levels deep", () => {
    expect(decode(auditValue({ old: nested(128) })).old).toEqual(nested(128));
    expect(() => decode(auditValue({ new: nested(129) }))).toThrow("nested deeper than 128 levels");
    const tooDeep = {
      value: auditValue({ new: nested(100_000) }),
      line: bytesOf("{}"),
      time: undefined,
      recorded: undefined,
    };
    expect(() => decodeAudit(tooDeep)).toThrow(expect.objectContaining({ reason: "decode_error" }));
  });
});

describe("rejects as undecodable", () => {
  test.each([
    [auditValue({ eventTime: "then" })],
    [auditValue({ eventTime: 7 })],
    [auditValue({ eventGroupID: 7 })],
    [auditValue({ origin: {} })],
    [auditValue({ target: "tailnet" })],
    [auditValue({ target: { isEphemeral: "yes" } })],
    [auditValue({ target: { property: ["ACL"] } })],
    [auditValue({ actor: { tags: "tag:web" } })],
    [auditValue({ actor: { loginName: false } })],
    [auditValue({ error: { message: "no" } })],
    [auditValue({ actionDetails: 1 })],
    [auditValue({ deferredAt: 0 })],
  ])("%j", (value) => {
    expect(() => decode(value)).toThrow(expect.objectContaining({ name: "Defect", reason: "decode_error" }));
  });
});
