/** Tests that a record is recognized from any source, and never taken for another. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Identifier, KeyedHash, keyWords } from "../../src/records/identity.ts";
import { decodeAudit, decodeWebhook, type Fact } from "../../src/records/plain.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connectionValue, flowRecordValue, seeded } from "../support/random.ts";
import { columnsOf } from "../support/columns.ts";
import { auditValue, connection, enveloped, flowValue, sampleRecords } from "../support/records.ts";

const secret = "00112233445566778899aabbccddeeff";
const identifier = new Identifier(secret, 1);

type Key = ReturnType<typeof plain>;

/** A key's parts. `counters` includes the 8 flag bits below it. */
function plain(key: Uint32Array) {
  const [first, second, third, fourth] = key as unknown as [number, number, number, number];
  return { window: `${first} ${second >>> 16}`, entries: `${second & 0xffff} ${third}`, counters: fourth };
}

function keyOfFlow(value: unknown, by = identifier): Key {
  const key = new Uint32Array(keyWords);
  by.flow(columnsOf(value), 0, key, 0);
  return plain(key);
}

function keyOfAudit(value: JsonObject, by = identifier): string {
  const key = new Uint32Array(keyWords);
  by.plain(
    decodeAudit({ value, line: Buffer.from(JSON.stringify({ event: value })), time: undefined, recorded: undefined }),
    key,
    0,
  );
  return key.join();
}

const withEntries = (entries: readonly unknown[]): JsonObject => flowValue({ virtualTraffic: entries });

const one = connection();
const two = connection({ src: "100.64.1.1:40001", txBytes: 7 });
const three = connection({ proto: 17, dst: "100.64.1.2:53" });
const broken = connection({ src: "nowhere:1" });

describe("a flow's identity", () => {
  test("is the same from stream and API", () => {
    const streamed = sampleRecords("hec-flow").map(({ value }) => keyOfFlow(value));
    const polled = sampleRecords("api-network").map(({ value }) => keyOfFlow(value));
    expect(streamed).toHaveLength(10);
    expect(polled).toEqual(streamed);
    expect(new Set(streamed.map(({ window, entries }) => window + entries)).size).toBe(10);
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

  test("does not depend on the notation of addresses, protocols and times, or on names, envelope and unknown members", () => {
    const plainly = connection({ proto: 6, src: "[2001:db8::35]:1", dst: "192.0.2.1:2" });
    const oddly = connection({ proto: "TCP", src: "[2001:0DB8:0::0035]:01", dst: "[::ffff:192.0.2.1]:2" });
    expect(keyOfFlow(withEntries([oddly]))).toEqual(keyOfFlow(withEntries([plainly])));
    const dressed = flowValue({
      logged: "2026-11-02T09:15:09Z",
      start: "2026-11-02T10:15:00.000+01:00",
      srcNode: { name: "x" },
      extra: 1,
    });
    expect(keyOfFlow(enveloped(dressed))).toEqual(keyOfFlow(flowValue()));
  });

  test("does not depend on the position in the columns", () => {
    const values = [
      flowValue({ nodeId: "n2", virtualTraffic: [connection({ src: "[2001:db8::1]:1" }), broken] }),
      flowValue(),
    ];
    fc.assert(
      fc.property(fc.array(flowRecordValue, { maxLength: 3 }), (before) => {
        const columns = columnsOf(...before, ...values);
        const keys = new Uint32Array(keyWords * columns.records);
        for (let record = 0; record < columns.records; record++)
          identifier.flow(columns, record, keys, record * keyWords);
        const last = [...keys.subarray(-2 * keyWords)];
        const alone = new Uint32Array(2 * keyWords);
        identifier.flow(columnsOf(values[0]), 0, alone, 0);
        identifier.flow(columnsOf(values[1]), 0, alone, keyWords);
        expect(last).toEqual([...alone]);
      }),
      seeded(50),
    );
  });

  test("reflects different counters in their 24 bits only", () => {
    for (const member of ["txPkts", "txBytes", "rxPkts", "rxBytes"]) {
      const before = keyOfFlow(withEntries([one, two]));
      const after = keyOfFlow(withEntries([one, { ...two, [member]: 123_456 }]));
      expect({ ...after, counters: 0 }).toEqual({ ...before, counters: 0 });
      expect(after.counters).not.toBe(before.counters);
      expect(after.counters & 0xff).toBe(0);
    }
  });

  test("reflects counters that differ above 32 bits, and swapped ones", () => {
    const countersOf = (entries: JsonObject[]): number => keyOfFlow(withEntries(entries)).counters;
    expect(countersOf([{ ...one, txBytes: 2 ** 32 + 5 }])).not.toBe(countersOf([{ ...one, txBytes: 5 }]));
    expect(countersOf([{ ...one, txBytes: 1, rxBytes: 2 }])).not.toBe(countersOf([{ ...one, txBytes: 2, rxBytes: 1 }]));
    const straight = countersOf([
      { ...one, txBytes: 1 },
      { ...two, txBytes: 2 },
    ]);
    const crossed = countersOf([
      { ...one, txBytes: 2 },
      { ...two, txBytes: 1 },
    ]);
    expect(straight).not.toBe(crossed);
  });

  test("changes with other, repeated or additional left-out entries, in the same window", () => {
    const others = [
      [one],
      [one, two],
      [one, two, one],
      [one, one],
      [one, two, three],
      [one, three],
      [],
      [one, { ...two, dst: "100.64.1.2:444" }],
      [one, broken],
      [one, broken, broken],
      [one, { ...broken, src: "elsewhere:1" }],
      [one, { ...broken, txBytes: 1 }],
      [one, null],
      [one, connection({ src: "[fe80::1%eth0]:1" })],
      [one, connection({ src: "[fe80::1%eth1]:1" })],
      [one, connection({ src: "[fe80::1]:1" })],
      [one, connection({ src: "" })],
      [one, connection({ dst: "" })],
      [one, connection({ proto: 0 })],
    ].map((entries) => keyOfFlow(withEntries(entries)));
    expect(new Set(others.map(({ window }) => window)).size).toBe(1);
    expect(new Set(others.map(({ entries }) => entries)).size).toBe(others.length);
  });

  test("includes a left-out entry by its text, whatever the order of its members", () => {
    const turned = Object.fromEntries(Object.entries(broken).reverse());
    expect(keyOfFlow(withEntries([one, turned]))).toEqual(keyOfFlow(withEntries([one, broken])));
  });

  test("distinguishes protocols that have a name but no number, ignoring case", () => {
    const named = ["quic", "QUIC", "mptcp", undefined].map(
      (proto) => keyOfFlow(withEntries([connection({ proto })])).entries,
    );
    expect(named[1]).toEqual(named[0] as never);
    expect(new Set(named).size).toBe(3);
  });

  test("distinguishes the traffic types of an entry", () => {
    const identities = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"].map(
      (name) => keyOfFlow({ ...flowValue({ virtualTraffic: [] }), [name]: [connection()] }).entries,
    );
    expect(new Set(identities).size).toBe(4);
  });

  test("has a different window for a different node, start, end or tailnet", () => {
    const long = "n".repeat(200_000);
    const values = [
      {},
      { nodeId: "nTWOCNTRL" },
      { nodeId: "nONECNTRL2" },
      { nodeId: long },
      { nodeId: `${long}2` },
      { start: "2026-11-02T09:15:00.000000001Z" },
      { start: "1890-08-25T02:46:44Z" },
      { end: "2026-11-02T09:15:06Z" },
      { end: "" },
      { start: "" },
    ];
    const keys = values.map((members) => keyOfFlow(flowValue(members)));
    keys.push(keyOfFlow(flowValue(), new Identifier(secret, 2)));
    expect(new Set(keys.map(({ window }) => window)).size).toBe(keys.length);
  });

  test("has a different window, entries and counters with a different secret", () => {
    const before = keyOfFlow(flowValue());
    const after = keyOfFlow(flowValue(), new Identifier("ff112233445566778899aabbccddeeff", 1));
    expect(after.window).not.toBe(before.window);
    expect(after.entries).not.toBe(before.entries);
    expect(after.counters).not.toBe(before.counters);
  });

  test("is unique among 500,000 records of one window", () => {
    const columns = columnsOf(flowValue());
    const key = new Uint32Array(keyWords);
    const windows = new Set<number>();
    const entries = new BigUint64Array(500_000);
    for (let place = 0; place < entries.length; place++) {
      columns.source[0] = 0x6440_0000 + (place >> 4);
      columns.sourcePort[0] = place & 15;
      identifier.flow(columns, 0, key, 0);
      windows.add((key[0] as number) + ((key[1] as number) >>> 16) * 2 ** 32);
      entries[place] = (BigInt((key[1] as number) & 0xffff) << 32n) | BigInt(key[2] as number);
    }
    expect(windows.size).toBe(1);
    entries.sort();
    let equal = 0;
    for (let place = 1; place < entries.length; place++) if (entries[place] === entries[place - 1]) equal++;
    expect(equal).toBe(0);
  });

  test("is shown as its first three words in hexadecimal", () => {
    const columns = columnsOf(flowValue());
    const key = new Uint32Array(keyWords);
    identifier.flow(columns, 0, key, 0);
    const hex = [...key.subarray(0, 3)].map((word) => word.toString(16).padStart(8, "0")).join("");
    expect(identifier.uid(columns, 0)).toBe(hex);
    expect(hex).toMatch(/^[0-9a-f]{24}$/);
  });
});

describe("the keyed hash", () => {
  test("is HalfSipHash-2-4", () => {
    const hash = new KeyedHash(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]));
    const digest = (words: number[], last: number) => {
      hash.digest(Int32Array.from(words), words.length, last);
      const bytes = Buffer.alloc(8);
      bytes.writeInt32LE(hash.low, 0);
      bytes.writeInt32LE(hash.high, 4);
      return bytes.toString("hex");
    };
    for (let length = 3; length < 40; length += 4) {
      const message = Buffer.from(Array.from({ length }, (_, place) => place));
      const words = Array.from({ length: (length - 3) / 4 }, (_, word) => message.readInt32LE(word * 4));
      expect(digest(words, message.readUIntLE(length - 3, 3))).toBe(halfSipHash(message));
    }
    expect(halfSipHash(Buffer.alloc(0))).toBe("218d1f59b9b83cc8");
  });
});

/** The algorithm as in its paper, over bytes and with big integers: slow and obvious. */
function halfSipHash(message: Buffer): string {
  const mask = 0xffff_ffffn;
  const rotate = (word: bigint, bits: bigint) => ((word << bits) | (word >> (32n - bits))) & mask;
  const [key0, key1] = [0x0302_0100n, 0x0706_0504n];
  let [v0, v1, v2, v3] = [key0, key1 ^ 0xeen, 0x6c79_6765n ^ key0, 0x7465_6462n ^ key1];
  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      v0 = (v0 + v1) & mask;
      v1 = rotate(v1, 5n) ^ v0;
      v0 = rotate(v0, 16n);
      v2 = (v2 + v3) & mask;
      v3 = rotate(v3, 8n) ^ v2;
      v0 = (v0 + v3) & mask;
      v3 = rotate(v3, 7n) ^ v0;
      v2 = (v2 + v1) & mask;
      v1 = rotate(v1, 13n) ^ v2;
      v2 = rotate(v2, 16n);
    }
  };
  const padded = Buffer.alloc((message.length >> 2) * 4 + 4);
  message.copy(padded);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 4) {
    const word = BigInt(padded.readUInt32LE(at));
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xeen;
  rounds(4);
  const low = v1 ^ v3;
  v1 ^= 0xddn;
  rounds(4);
  const digest = Buffer.alloc(8);
  digest.writeUInt32LE(Number(low), 0);
  digest.writeUInt32LE(Number(v1 ^ v3), 4);
  return digest.toString("hex");
}

describe("an audit record's identity", () => {
  test("is the same from stream and API", () => {
    const streamed = sampleRecords("hec-audit").map(({ value }) => keyOfAudit(value));
    const polled = sampleRecords("api-configuration").map(({ value }) => keyOfAudit(value));
    expect(polled).toEqual(streamed);
    expect(new Set(streamed).size).toBe(8);
  });

  test("ignores the time, its precision, and what is not part of the change", () => {
    const plainly = keyOfAudit(auditValue());
    const api = {
      ...auditValue(),
      eventTime: "2026-11-02T09:15:10.250000007Z",
      type: "CONFIG",
    };
    expect(keyOfAudit(api)).toBe(plainly);
    expect(keyOfAudit(auditValue({ actor: { id: "uONECNTRL", displayName: "Other" } }))).toBe(plainly);
  });

  test("includes the time in milliseconds if there is no group", () => {
    const at = (eventTime: string) => keyOfAudit(auditValue({ eventGroupID: "", eventTime }));
    expect(at("2026-11-02T09:15:10.250999Z")).toBe(at("2026-11-02T09:15:10.250000007Z"));
    expect(at("2026-11-02T09:15:10.251Z")).not.toBe(at("2026-11-02T09:15:10.250Z"));
  });

  test("does not depend on the order of members in old and new", () => {
    expect(keyOfAudit(auditValue({ old: { a: 1, b: [{ c: 1, d: 2 }] } }))).toBe(
      keyOfAudit(auditValue({ old: { b: [{ d: 2, c: 1 }], a: 1 } })),
    );
  });

  test("is different for any other change", () => {
    const target = { id: "T1CNTRL", type: "TAILNET", property: "ACL" };
    const others = [
      {},
      { eventGroupID: "group-2" },
      { action: "CREATE" },
      { actor: { id: "uTWOCNTRL" } },
      { target: { ...target, id: "T2CNTRL" } },
      { target: { ...target, type: "NODE" } },
      { target: { ...target, property: "DNS" } },
      { target: { ...target, name: "example.org" } },
      { error: "the policy is invalid" },
      { actionDetails: "tried again" },
      { old: "A" },
      { old: ["a"] },
      { old: undefined },
      { old: "b", new: "a" },
      { new: { b: "b" } },
    ].map((members) => keyOfAudit(auditValue({ target, ...members })));
    others.push(
      keyOfAudit(auditValue({ target }), new Identifier(secret, 2)),
      keyOfAudit(auditValue({ target }), new Identifier("other", 1)),
    );
    expect(new Set(others).size).toBe(others.length);
  });
});

test("a webhook event is identified by all of its members, in any order", () => {
  const uid = (value: JsonObject) => identifier.uidOf(decodeWebhook({ value }));
  const event = { type: "nodeCreated", timestamp: "2026-11-02T09:15:00Z", data: { a: 1, b: 2 } };
  expect(uid({ ...event, data: { b: 2, a: 1 } })).toBe(uid(event));
  expect(uid({ ...event, extra: 1 })).not.toBe(uid(event));
  expect(uid({ ...event, data: { a: 1, b: 3 } })).not.toBe(uid(event));
});

test("a fact is identified by its second, with its millisecond in the counter bits", () => {
  const fact = (time: [number, number], kind: Fact["kind"] = "nodeCreated", name = "web-1"): Fact => ({
    kind,
    name,
    time,
  });
  const keys = identifier.factKeys(fact([1_793_610_900, 250_000_000]));
  const near = identifier.factKeys(fact([1_793_610_901, 100_000_000]));
  const second = (of: Uint32Array, place: number) => [...of.subarray(place * keyWords, place * keyWords + 3)];
  const [key, before, after] = [0, 1, 2];
  expect(second(near, before)).toEqual(second(keys, key));
  expect(second(keys, after)).toEqual(second(near, key));
  expect(second(near, key)).not.toEqual(second(keys, key));
  const millis = (of: Uint32Array, place: number) => (of[place * keyWords + 3] as number) >>> 8;
  expect(millis(near, key) - millis(keys, key)).toBe(850);
  expect([millis(near, before), millis(near, after)]).toEqual([millis(near, key), millis(near, key)]);
  expect((keys[3] as number) & 0xff).toBe(0);
  for (const other of [fact([1_793_610_900, 0], "nodeDeleted"), fact([1_793_610_900, 0], "nodeCreated", "web-2")])
    expect(identifier.factKeys(other)[0]).not.toBe(keys[0]);
});

test("a quarantined text has a keyed identity of its own kind", () => {
  const keyOf = (text: string, by = identifier) => {
    const key = new Uint32Array(2 * keyWords);
    by.text(text, key, keyWords);
    return key.join();
  };
  expect(keyOf("{}")).toBe(keyOf("{}"));
  expect(keyOf("{}")).toStartWith("0,0,0,0,");
  expect(keyOf("{} ")).not.toBe(keyOf("{}"));
  expect(keyOf("{}", new Identifier("other", 1))).not.toBe(keyOf("{}"));
});
