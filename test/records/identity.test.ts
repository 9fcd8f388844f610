/** A record is known again whichever way it comes, and is not taken for another. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeRecord } from "../../src/records/decode.ts";
import { identify, type IdentityKey, identifyText, type SeenKey } from "../../src/records/identity.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connectionValue, flowRecordValue, seeded } from "../support/random.ts";
import { auditOf, auditValue, connection, enveloped, flowOf, flowValue, sampleRecords } from "../support/records.ts";

const key: IdentityKey = { secret: "00112233445566778899aabbccddeeff", tailnet: 1 };
const receivedAt = Date.UTC(2026, 10, 2, 9, 16);

const keyOfFlow = (value: JsonObject, identityKey = key): SeenKey => identify(flowOf(value), identityKey, receivedAt);
const keyOfAudit = (value: JsonObject, identityKey = key): SeenKey => identify(auditOf(value), identityKey, receivedAt);
const bits = ({ high, low, check }: SeenKey) => ({ high, window: low >>> 24, entries: low & 0xff_ffff, check });
const withEntries = (entries: readonly JsonObject[]): JsonObject => flowValue({ virtualTraffic: entries });

const one = connection();
const two = connection({ src: "100.64.1.1:40001", txBytes: 7 });
const three = connection({ proto: 17, dst: "100.64.1.2:53" });

describe("a flow's identity", () => {
  test("is the same by stream and by API", () => {
    const streamed = sampleRecords("hec-flow").map((raw) => identify(decodeRecord(raw), key, 1));
    const polled = sampleRecords("api-network").map((raw) => identify(decodeRecord(raw), key, 1));
    expect(streamed).toHaveLength(10);
    expect(polled).toEqual(streamed);
    expect(new Set(streamed.map(({ high, low }) => `${high} ${low}`)).size).toBe(10);
  });

  test("is in unsigned 32-bit integers", () => {
    fc.assert(
      fc.property(flowRecordValue, (value) => {
        const { high, low, check } = keyOfFlow(value);
        for (const part of [high, low, check]) expect(part).toBe(part >>> 0);
      }),
      seeded(),
    );
  });

  test("does not depend on the order of entries", () => {
    fc.assert(
      fc.property(fc.array(connectionValue, { maxLength: 6 }), fc.nat(), (entries, turns) => {
        const turned = entries
          .toSorted((a, b) => ((JSON.stringify(a).length * turns) % 7) - ((JSON.stringify(b).length * turns) % 7))
          .toReversed();
        expect(keyOfFlow(withEntries(turned))).toEqual(keyOfFlow(withEntries(entries)));
      }),
      seeded(500),
    );
  });

  test("does not depend on how an address or a protocol is written", () => {
    const plain = connection({ proto: 6, src: "[2001:db8::35]:1", dst: "192.0.2.1:2" });
    const odd = connection({ proto: "TCP", src: "[2001:0DB8:0::0035]:01", dst: "[::ffff:192.0.2.1]:2" });
    expect(keyOfFlow(withEntries([odd]))).toEqual(keyOfFlow(withEntries([plain])));
  });

  test("does not depend on names, envelope, receipt or how a time is written", () => {
    const bare = keyOfFlow(flowValue());
    const dressed = flowValue({
      logged: "2026-11-02T09:15:09Z",
      start: "2026-11-02T10:15:00.000+01:00",
      srcNode: { name: "x" },
      extra: 1,
    });
    expect({ ...identify(flowOf(enveloped(dressed)), key, 5), at: 0 }).toEqual({ ...bare, at: 0 });
  });

  test("sees other counters in the check alone", () => {
    for (const member of ["txPkts", "txBytes", "rxPkts", "rxBytes"]) {
      const before = keyOfFlow(withEntries([one, two]));
      const after = keyOfFlow(withEntries([one, { ...two, [member]: 123_456 }]));
      expect({ ...after, check: 0 }).toEqual({ ...before, check: 0 });
      expect(after.check).not.toBe(before.check);
    }
  });

  test("sees counters that differ above 32 bits, and ones that changed places", () => {
    const checkOf = (entries: JsonObject[]): number => keyOfFlow(withEntries(entries)).check;
    expect(checkOf([{ ...one, txBytes: 2 ** 32 + 5 }])).not.toBe(checkOf([{ ...one, txBytes: 5 }]));
    expect(checkOf([{ ...one, txBytes: 1, rxBytes: 2 }])).not.toBe(checkOf([{ ...one, txBytes: 2, rxBytes: 1 }]));
    expect(
      checkOf([
        { ...one, txBytes: 1 },
        { ...two, txBytes: 2 },
      ]),
    ).not.toBe(
      checkOf([
        { ...one, txBytes: 2 },
        { ...two, txBytes: 1 },
      ]),
    );
  });

  test("sees an entry told twice in the check alone", () => {
    const once = keyOfFlow(withEntries([one, two]));
    const twice = keyOfFlow(withEntries([one, two, one]));
    expect({ ...twice, check: 0 }).toEqual({ ...once, check: 0 });
    expect(twice.check).not.toBe(once.check);
    expect(keyOfFlow(withEntries([one, one, two]))).toEqual(twice);
  });

  test("keeps its window when it has other entries", () => {
    const before = bits(keyOfFlow(withEntries([one, two])));
    for (const entries of [[one], [one, two, three], [one, three], [], [one, { ...two, dst: "100.64.1.2:444" }]]) {
      const after = bits(keyOfFlow(withEntries(entries)));
      expect({ high: after.high, window: after.window }).toEqual({ high: before.high, window: before.window });
      expect(after.entries).not.toBe(before.entries);
    }
  });

  test("tells the traffic types of one entry apart", () => {
    const entry = connection();
    const identities = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"].map(
      (name) => bits(keyOfFlow({ ...flowValue({ virtualTraffic: [] }), [name]: [entry] })).entries,
    );
    expect(new Set(identities).size).toBe(4);
  });

  test("has another window for another node, start, end or tailnet", () => {
    const before = bits(keyOfFlow(flowValue()));
    const others = [
      keyOfFlow(flowValue({ nodeId: "nTWOCNTRL" })),
      keyOfFlow(flowValue({ start: "2026-11-02T09:15:00.000000001Z" })),
      keyOfFlow(flowValue({ end: "2026-11-02T09:15:06Z" })),
      keyOfFlow(flowValue({ end: "" })),
      keyOfFlow(flowValue({ start: "" })),
      keyOfFlow(flowValue(), { ...key, tailnet: 2 }),
    ].map(bits);
    for (const other of others) expect(other.high).not.toBe(before.high);
    expect(new Set(others.map(({ high }) => high)).size).toBe(others.length);
  });

  test("is another under another secret, in window and entries", () => {
    const before = bits(keyOfFlow(flowValue()));
    const after = bits(keyOfFlow(flowValue(), { ...key, secret: "ff112233445566778899aabbccddeeff" }));
    expect(after.high).not.toBe(before.high);
    expect(after.entries).not.toBe(before.entries);
  });
});

describe("an audit record's identity", () => {
  test("is the same by stream and by API", () => {
    const streamed = sampleRecords("hec-audit").map((raw) => identify(decodeRecord(raw), key, 1));
    const polled = sampleRecords("api-configuration").map((raw) => identify(decodeRecord(raw), key, 1));
    expect(polled).toEqual(streamed);
    expect(new Set(streamed.map(({ high, low }) => `${high} ${low}`)).size).toBe(8);
  });

  test("ignores the time, its precision, and what is not part of the change", () => {
    const plain = keyOfAudit(auditValue());
    const api = {
      ...auditValue(),
      eventTime: "2026-11-02T09:15:10.250000007Z",
      type: "CONFIG",
      error: "e",
      actionDetails: "d",
    };
    expect(keyOfAudit(api)).toEqual(plain);
    expect(keyOfAudit(auditValue({ actor: { id: "uONECNTRL", displayName: "Other" } }))).toEqual(plain);
  });

  test("holds the time to the millisecond when there is no group", () => {
    const at = (eventTime: string): SeenKey => keyOfAudit(auditValue({ eventGroupID: "", eventTime }));
    expect(at("2026-11-02T09:15:10.250999Z")).toEqual(at("2026-11-02T09:15:10.250000007Z"));
    expect(at("2026-11-02T09:15:10.251Z")).not.toEqual(at("2026-11-02T09:15:10.250Z"));
  });

  test("does not depend on the order of members in old and new", () => {
    expect(keyOfAudit(auditValue({ old: { a: 1, b: [{ c: 1, d: 2 }] } }))).toEqual(
      keyOfAudit(auditValue({ old: { b: [{ d: 2, c: 1 }], a: 1 } })),
    );
  });

  test("is another for any other change", () => {
    const target = { id: "T1CNTRL", type: "TAILNET", property: "ACL" };
    const others = [
      {},
      { eventGroupID: "group-2" },
      { action: "CREATE" },
      { actor: { id: "uTWOCNTRL" } },
      { target: { ...target, id: "T2CNTRL" } },
      { target: { ...target, type: "NODE" } },
      { target: { ...target, property: "DNS" } },
      { old: "A" },
      { old: ["a"] },
      { old: undefined },
      { old: "b", new: "a" },
      { new: { b: "b" } },
    ].map((members) => keyOfAudit(auditValue({ target, ...members })));
    others.push(
      keyOfAudit(auditValue({ target }), { ...key, tailnet: 2 }),
      keyOfAudit(auditValue({ target }), { ...key, secret: "other" }),
    );
    expect(new Set(others.map(({ high, low }) => `${high} ${low}`)).size).toBe(others.length);
  });
});

test("a text that was set aside has an identity of its own kind", () => {
  const text = identifyText("{}", key, 5);
  expect(text).toEqual({ ...identifyText("{}", key, 5), check: 0, at: 5 });
  expect(identifyText("{} ", key, 5).high).not.toBe(text.high);
  expect(identifyText("{}", { ...key, secret: "other" }, 5).high).not.toBe(text.high);
});
