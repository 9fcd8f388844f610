/** Changes the bytes of records at random: what the scanner accepts must mean the same to `JSON.parse` and the reader. */
import { expect, test } from "bun:test";
import { ClaimTable } from "../../../src/records/flow/claims.ts";
import { FlowColumns } from "../../../src/records/flow/columns.ts";
import { readFlow } from "../../../src/records/flow/reader.ts";
import { FlowScanner } from "../../../src/records/flow/scanner.ts";
import { Identifier } from "../../../src/records/identity.ts";
import { plainRecord } from "../../support/columns.ts";
import { connection, enveloped, flowValue, sampleRecords, unwrapped } from "../../support/records.ts";

const mutants = Number(process.env["SCANNER_MUTANTS"] ?? 100_000);

const node = {
  nodeId: "nWEB1CNTRL",
  name: "web-1.tail1234.ts.net",
  addresses: ["100.64.1.1", "fd7a:115c:a1e0::1:1"],
  os: "linux",
  tags: ["tag:prod", "tag:web"],
};

/** Records of every shape that is scanned, and some that are not. */
const seeds = [
  ...sampleRecords("hec-flow").map(({ line }) => line),
  ...sampleRecords("api-network").map(({ value }) => JSON.stringify(value)),
  JSON.stringify(enveloped(flowValue())),
  JSON.stringify({
    fields: { recorded: "2026-11-02T09:15:07.2Z", index: "main" },
    event: flowValue({ logged: "2026-11-02T09:15:09Z" }),
    host: "h",
  }),
  JSON.stringify({
    event: flowValue({ logged: "2026-11-02T09:15:09Z" }),
    fields: { recorded: "2026-11-02T09:15:07.2Z" },
  }),
  // As nodes upload them, before the log service has added its own members.
  JSON.stringify({
    logtail: { client_time: "2026-11-02T09:15:05.279898437Z", proc_id: 3_255_437_909, proc_seq: 1 },
    ...flowValue({
      srcNode: node,
      dstNodes: [{ ...node, nodeId: "n2" }, {}],
      physicalTraffic: [{ src: "100.64.0.1:0", dst: "127.3.3.40:1", txPkts: 21 }],
    }),
  }),
  JSON.stringify(
    enveloped(
      flowValue({
        srcNode: node,
        subnetTraffic: [connection({ src: "[fd7a:115c:a1e0::1:1]:50000", dst: "[2001:db8:1:2:3:4:5:6]:65535" }), {}],
        exitTraffic: [{ src: "[::]:0" }, { dst: "[::ffff:192.0.2.1]:1" }, { src: "", rxBytes: 9_007_199_254_740_991 }],
        unknown: { a: [1, -0.5e-7, true, false, null, "x", {}, []], b: {} },
      }),
    ),
  ),
];

/** Near misses of everything the scanner reads, to be spliced in. */
const tokens = [
  ..."0 -0 1e3 01 1.5 1E+2 .5 -1 00 9007199254740991 9007199254740992 90071992547409910 99999999999999999999 65535 65536 255 256".split(
    " ",
  ),
  ...'" "" \\ \\" \\u0041 : , {} [] { } [ ] null true "x":1, "event":{}, "logs":[], "logs":1, "fields":{} "time":1,'.split(
    " ",
  ),
  ...'"nodeId":"n2", "nodeId":"", "start":"", "end":"2026-02-29T00:00:00Z", "logged":"2026-11-02T24:00:00Z", "recorded":1,'.split(
    " ",
  ),
  ...'"proto":6, "proto":"6", "src":"1.2.3.4:5", "src":"", "dst":7, "txPkts":1, "txBytes":2, "rxPkts":3, "rxBytes":4,'.split(
    " ",
  ),
  ...'"virtualTraffic":[], "subnetTraffic":[{}], "exitTraffic":null, "physicalTraffic":[], "srcNode":{}, "dstNodes":[]'.split(
    " ",
  ),
  ..."100.64.1.1:1 [::1]:1 [fe80::1%eth0]:1 [::ffff:1.2.3.4]:5 [1::2::3]:1 [::1.2.3.4]:1 :: 1: . Z T + %".split(" "),
  "é",
  " ",
  "\n",
  "\t",
  "\u0000",
  "\u007f",
  "\u{1f600}",
].map((token) => Buffer.from(token));

/** Near misses of counters, endpoints and times, to replace a whole number or string. */
const scalars = [
  ..."0 -0 00 1e3 1.0 99999999 999999999 1000000000 9007199254740991 9007199254740992 10000000000000000 256 65536 true null".split(
    " ",
  ),
  ...'"" "6" "1.2.3.4:0" "1.2.3.4:65535" "1.2.3.4:65536" "1.2.3.4:00" "1.2.3.4" "1.2.3.256:1" "1.2.3:1" "255.255.255.255:1"'.split(
    " ",
  ),
  ...'"[::]:0" "[::ffff:c000:201]:1" "[::ffff:1.2.3.4]:1" "[::fffe:0:1]:1" "[0:0:0:0:0:ffff:1:2]:3" "[1:2:3:4:5:6:7:8]:1"'.split(
    " ",
  ),
  ...'"[1:2:3:4:5:6:7::]:1" "[::2:3:4:5:6:7:8]:1" "[1:2:3:4::5:6:7:8]:1" "[1::2::3]:1" "[:1]:1" "[1:]:1" "[12345::]:1" "[]:1"'.split(
    " ",
  ),
  ...'"2026-02-28T23:59:59Z" "2026-02-29T00:00:00Z" "2024-02-29T00:00:00Z" "2026-13-01T00:00:00Z" "2026-11-02T24:00:00Z"'.split(
    " ",
  ),
  ...'"2026-11-02T09:60:00Z" "2026-11-02T09:15:60Z" "2026-11-02t09:15:00z" "2026-11-02T09:15:05.100200301Z" "0000-01-01T00:00:00Z"'.split(
    " ",
  ),
  ...'"9999-12-31T23:59:59.999999999Z" "2026-11-02T09:15:00.0000000001Z" "2026-11-02T09:15:00.Z" "2026-11-02T10:15:00+01:00"'.split(
    " ",
  ),
].map((token) => Buffer.from(token));
const halves = [Buffer.from([0xc3]), Buffer.from([0x80]), Buffer.from([0xff])];

/** Mulberry32: the same numbers in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function mutate(text: Buffer, random: (below: number) => number): Buffer {
  const at = random(text.length + 1);
  const length = random(3) === 0 ? random(40) : 1;
  const to = Math.min(text.length, at + length);
  const around = (middle: Uint8Array, end = to) => Buffer.concat([text.subarray(0, at), middle, text.subarray(end)]);
  switch (random(9)) {
    case 0:
      return around(Buffer.from([random(256)]));
    case 1:
      return around(Buffer.from([(text[at] ?? 0) ^ (1 << random(8))]), Math.min(text.length, at + 1));
    case 2:
      return around(Buffer.alloc(0));
    case 3:
      return around(text.subarray(at, to), at);
    case 4:
      return around(text.subarray(random(text.length), random(text.length) + 20), at);
    case 5:
      return around(tokens[random(tokens.length)] as Buffer, at);
    case 6:
      return around((random(4) === 0 ? halves : tokens)[random(3)] as Buffer);
    case 7: {
      const colon = text.indexOf('":', at) + 2;
      const found = /^(?:"[^"]*"|[0-9.]+)/.exec(text.toString("latin1", colon, colon + 80))?.[0] ?? "";
      const scalar = scalars[random(scalars.length)] as Buffer;
      return Buffer.concat([text.subarray(0, colon), scalar, text.subarray(colon + found.length)]);
    }
    default: {
      // After a comma or a bracket, where members and elements begin.
      let place = at;
      while (place < text.length && !",{[".includes(String.fromCharCode(text[place] as number))) place++;
      const token = tokens[random(tokens.length)] as Buffer;
      return Buffer.concat([text.subarray(0, place + 1), token, text.subarray(place + 1)]);
    }
  }
}

const identifier = new Identifier("00112233445566778899aabbccddeeff", 1);
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function keyOf(columns: FlowColumns, record: number): string {
  const key = new Uint32Array(4);
  identifier.flow(columns, record, key, 0);
  return key.join();
}

/** Reads the text of one value into columns that already contain one record. */
function readText(text: string, claims: ClaimTable, columns: FlowColumns): void {
  const { records, skipped } = unwrapped(JSON.parse(text), text);
  const [record] = records;
  if (record === undefined || records.length !== 1 || skipped.length !== 0 || record.type !== "flow")
    throw new Error("not one flow record");
  readFlow(record.value, record.recorded, claims, columns);
}

test(
  "the scanner and the reader agree on mutated records",
  () => {
    const random = randomFrom(Number(process.env["SCANNER_SEED"] ?? 20_261_102));
    const scanned = new FlowColumns();
    const read = new FlowColumns();
    const scanner = new FlowScanner(new ClaimTable());
    const claims = new ClaimTable();
    const base = Buffer.from(JSON.stringify(enveloped(flowValue({ srcNode: node }))));
    expect(scanner.scan(base, 0, base.length, scanned)).toBe(base.length);
    const before = JSON.stringify(plainRecord(scanned, 0));
    let taken = 0;
    for (let mutant = 0; mutant < mutants; mutant++) {
      let text: Buffer = Buffer.from(seeds[random(seeds.length)] as string);
      for (let times = random(4); times > 0; times--) text = mutate(text, random);
      const padding = random(5);
      const bytes = Buffer.concat([Buffer.alloc(padding, 0x7b), text, Buffer.alloc(random(5), 0x30)]);
      const to = Math.min(bytes.length, padding + text.length - (random(8) === 0 ? random(text.length + 1) : 0));
      const end = scanner.scan(bytes, padding, to, scanned);
      const show = () => `mutant ${mutant}: ${bytes.toString("latin1", padding, to)}`;
      if (end < 0) {
        if (
          scanned.records !== 1 ||
          scanned.entries !== 1 ||
          scanned.ipv6Addresses !== 0 ||
          scanned.nodeId.length !== 1
        )
          throw new Error(`not as before, ${show()}`);
        continue;
      }
      taken++;
      if (end > to) throw new Error(`read past its end, ${show()}`);
      if (bytes.subarray(padding, end).some((byte) => byte < 0x20)) throw new Error(`not one line, ${show()}`);
      read.clear();
      try {
        readText(decoder.decode(bytes.subarray(padding, end)), claims, read);
      } catch (error) {
        throw new Error(`taken, but ${String(error)}, ${show()}`, { cause: error });
      }
      const inColumns = JSON.stringify(plainRecord(scanned, 1));
      if (inColumns !== JSON.stringify(plainRecord(read, 0))) throw new Error(`other columns, ${show()}`);
      if (keyOf(scanned, 1) !== keyOf(read, 0)) throw new Error(`another key, ${show()}`);
      scanned.truncate(1, 0, 0);
    }
    expect(JSON.stringify(plainRecord(scanned, 0))).toBe(before);
    // A scanner that rejects everything would pass as well.
    expect(taken).toBeGreaterThan(mutants / 10);
    expect(taken).toBeLessThan(mutants);
  },
  Math.max(60_000, mutants),
);
