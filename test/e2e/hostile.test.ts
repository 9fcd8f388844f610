/** Tests hostile bodies and requests against the compiled program: each gets its row's response, and its cost is printed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createLoad } from "../../scripts/bench/bodies.ts";
import { hecAnswers, type HecAnswerName } from "../../src/receivers/hec/protocol.ts";
import { type AttackedProgram, startAttackedProgram } from "../support/attacked-program.ts";
import { canMeasureMemory } from "../support/peak-memory.ts";
import { head, sendRaw } from "../support/raw-http.ts";
import { longTimeoutMs as timeoutMs } from "../support/wait.ts";

const path = "/services/collector/event";
const gzip = { "content-encoding": "gzip" };
const zstd = { "content-encoding": "zstd" };
const maxPeakBytes = 400e6;

let attacked: AttackedProgram;

beforeAll(async () => {
  attacked = await startAttackedProgram("hostile bodies and requests");
}, timeoutMs);

afterAll(async () => {
  expect(attacked.program.output()).not.toContain(attacked.program.token);
  expect(attacked.program.output()).not.toContain("failed inside this program");
  expect(await attacked.stop()).toBe(0);
}, timeoutMs);

async function expectWell(): Promise<void> {
  expect(await attacked.post(attacked.goodBody())).toEqual({ status: 200, body: { text: "Success", code: 0 } });
}

/** The response of the row, with the text or place if rows leave that open. */
function rowOf(name: HecAnswerName, more: object = {}): object {
  const { status, text, code } = hecAnswers[name];
  return { status, body: { text, code, ...more } };
}

const whole = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
const flow = (members: string): string =>
  `{"event":{"nodeId":"n1CNTRL","start":"2026-11-02T09:15:00Z","end":"2026-11-02T09:15:05Z",${members}}}`;
const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
const invalidUtf8 = Buffer.concat([Buffer.from('{"event":{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}}')]);

/** At most 64 MiB of distinct records as they arrive in reality. */
function largestBody(): Buffer {
  const load = createLoad("stream", 600, Date.UTC(2026, 9, 1));
  const parts: Buffer[] = [];
  let bytes = 0;
  for (let body = 0; ; body++) {
    const part = Buffer.from(load.envelopes(body).join(""));
    bytes += part.byteLength;
    if (bytes > 64 << 20) return Buffer.concat(parts);
    parts.push(part);
  }
}

const damaged = (index: number): object => rowOf("invalidBody", { "invalid-event-number": index });
const tooLarge = (text: string): object => rowOf("tooLarge", { text });
const overBytes = tooLarge("The body is larger than 67108864 bytes (streaming.max_body_bytes)");
const tooDeep = tooLarge("More than 1000 levels of nesting in one value (no setting changes this limit)");
const taken = rowOf("success");

interface BodyAttack {
  readonly name: string;
  readonly body: () => BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  readonly answer: object;
}

const bodies: BodyAttack[] = [
  {
    name: "256 MiB of zeros in zstd",
    body: () => whole(zstdCompressSync(Buffer.alloc(256 << 20))),
    headers: zstd,
    answer: overBytes,
  },
  {
    name: "256 MiB of white space in zstd",
    body: () => whole(zstdCompressSync(Buffer.alloc(256 << 20, " "))),
    headers: zstd,
    answer: overBytes,
  },
  {
    name: "256 MiB of zeros in gzip",
    body: () => whole(gzipSync(Buffer.alloc(256 << 20))),
    headers: gzip,
    answer: overBytes,
  },
  {
    name: "a plain body one byte over the limit",
    body: () => whole(Buffer.alloc((64 << 20) + 1, " ")),
    answer: overBytes,
  },
  { name: "64 MiB of white space", body: () => whole(Buffer.alloc(64 << 20, " ")), answer: rowOf("noData") },
  {
    name: "64 MiB of one string that does not end",
    body: () => `{"a":"${"x".repeat((64 << 20) - 6)}`,
    answer: tooLarge("More than 4194304 bytes in one value (no setting changes this limit)"),
  },
  { name: "64 MiB of opening brackets", body: () => `{"a":${"[".repeat((64 << 20) - 5)}`, answer: tooDeep },
  { name: "10,000-deep nesting", body: () => `{"event":${nested(10_000)}}`, answer: tooDeep },
  {
    name: "10,000-deep nesting in a flow record",
    body: () => flow(`"virtualTraffic":${nested(10_000)}`),
    answer: tooDeep,
  },
  { name: "900-deep nesting in a flow record", body: () => flow(`"virtualTraffic":${nested(900)}`), answer: taken },
  {
    name: "150,001 entries in one record",
    body: () => flow(`"virtualTraffic":[${"0,".repeat(150_000)}0]`),
    answer: tooLarge("More than 150000 members and elements in one value (no setting changes this limit)"),
  },
  {
    name: "40,001 entries in one record, which is quarantined",
    body: () => flow(`"virtualTraffic":[${"0,".repeat(40_000)}0]`),
    answer: taken,
  },
  {
    name: "1,015,808 connection entries",
    body: () => flow(`"virtualTraffic":[${"{},".repeat(16_383)}{}]`).repeat(62),
    answer: tooLarge("More than 1000000 connection entries in one request (no setting changes this limit)"),
  },
  {
    name: "500,001 records",
    body: () => "{}".repeat(500_001),
    answer: tooLarge("More than 500000 records in one request (no setting changes this limit)"),
  },
  { name: "invalid UTF-8", body: () => whole(invalidUtf8), answer: damaged(0) },
  { name: "NUL bytes between values", body: () => "{}\0{}", answer: damaged(1) },
  { name: "NUL bytes in a string", body: () => '{"event":{"a":"\0"}}', answer: damaged(0) },
  {
    name: "escaped NUL and half a surrogate pair",
    body: () => flow('"srcNode":{"name":"\\u0000\\ud800"},"virtualTraffic":[]'),
    answer: taken,
  },
  {
    name: "duplicate keys",
    body: () => flow('"nodeId":"n2","nodeId":"n3","virtualTraffic":[],"virtualTraffic":[]'),
    answer: taken,
  },
  {
    name: "huge numbers",
    body: () => flow(`"virtualTraffic":[{"proto":1e999,"txBytes":${"9".repeat(400)},"rxBytes":-1e-999}]`),
    answer: taken,
  },
  {
    name: "__proto__ and constructor keys",
    body: () =>
      flow('"__proto__":{"nodeId":1},"constructor":{"prototype":{}},"virtualTraffic":[{"__proto__":{"txBytes":1}}]'),
    answer: taken,
  },
];

describe("a hostile body", () => {
  test.each(bodies)(
    "of $name",
    async ({ name, body, headers, answer }) => {
      const bytes = body();
      const { result, peak } = await attacked.measure(name, () => attacked.post(bytes, headers));
      expect<object>(result).toEqual(answer);
      expect(peak).toBeLessThan(maxPeakBytes);
      await expectWell();
    },
    timeoutMs,
  );
});

const authorized = { authorization: "Splunk test-token" };
const smuggled = head("POST", path, { ...authorized, "content-length": 2 }) + "[]";
const chunked = head("POST", path, { ...authorized, "transfer-encoding": "chunked" });

describe("a hostile request", () => {
  test.each([
    [
      "both lengths",
      head("POST", path, { ...authorized, "content-length": 4, "transfer-encoding": "chunked" }) + "0\r\n\r\n",
    ],
    ["two lengths", head("POST", path, { ...authorized, "content-length": "2, 3" }) + "[] "],
    ["a length with a sign", head("POST", path, { ...authorized, "content-length": "+2" }) + "[]"],
    ["a chunk size that is none", `${chunked}0x2\r\n[]\r\n0\r\n\r\n`],
    ["a negative chunk size", `${chunked}-1\r\n[]\r\n0\r\n\r\n`],
    ["a chunk size past every number", `${chunked}fffffffffffffffff\r\n[]\r\n0\r\n\r\n`],
    ["a chunk without its end", `${chunked}2\r\n[]XX0\r\n\r\n`],
    ["chunked that is not the last encoding", head("POST", path, { ...authorized, "transfer-encoding": "chunked, x" })],
    ["an obscured transfer encoding", head("POST", path, { ...authorized, "transfer-encoding": "\vchunked" })],
    ["a folded header", `POST ${path} HTTP/1.1\r\nhost: x\r\nx-header: a\r\n b\r\ncontent-length: 2\r\n\r\n[]`],
    ["a space before the colon", `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length : 2\r\n\r\n[]`],
    [
      "20,000 headers",
      `POST ${path} HTTP/1.1\r\nhost: x\r\n${"x-header: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20_000)}\r\n`,
    ],
    ["one endless header", `POST ${path} HTTP/1.1\r\nhost: x\r\nx-header: ${"a".repeat(8 << 20)}\r\n\r\n`],
    ["an endless path", `POST /${"a".repeat(8 << 20)} HTTP/1.1\r\nhost: x\r\n\r\n`],
  ])(
    "with %s is refused by closing, and what follows it is not read as a request",
    async (name, text) => {
      const { result } = await attacked.measure(name, () =>
        sendRaw(attacked.port, [text + smuggled], { until: "closed" }),
      );
      expect([0, 400, 431]).toContain(result.status);
      expect(result.body).not.toContain("HTTP/1.1");
      await expectWell();
    },
    timeoutMs,
  );
});

/** A record with these entries, distinct for each number. */
const recordOf = (number: number, entries: readonly string[]): string =>
  `{"event":{"nodeId":"n${number}CNTRL","start":"2026-11-02T09:15:00Z","end":"2026-11-02T09:15:05Z","virtualTraffic":[${entries.join(",")}]}}`;
const ofEach = (count: number, make: (place: number) => string): string[] =>
  Array.from({ length: count }, (_, place) => make(place));
const hex = (number: number): string => number.toString(16);

describe("eight requests of less than 300 MB", () => {
  test.each([
    [
      "40,000 pairs of IPv6 addresses each, all distinct",
      (request: number) =>
        ofEach(40, (record) =>
          recordOf(
            request * 40 + record,
            ofEach(1000, (entry) => {
              const pair = `${hex(request)}:${hex(record)}:${hex(entry)}`;
              return `{"proto":6,"src":"[2001:db8::${pair}]:1","dst":"[2001:db8:1::${pair}]:443","txPkts":1,"txBytes":5}`;
            }),
          ),
        ),
    ],
    [
      "150,000 entries each that are left out beside good ones",
      (request: number) =>
        ofEach(1500, (record) =>
          recordOf(
            request * 1500 + record,
            ofEach(200, (entry) =>
              entry % 2 === 0
                ? `{"src":"z${entry}"}`
                : `{"proto":6,"src":"100.64.0.1:${entry}","dst":"100.64.0.2:443"}`,
            ),
          ),
        ),
    ],
  ])(
    "%s",
    async (name, recordsOf) => {
      const fresh = await startAttackedProgram(name, "protobuf");
      const sent = ofEach(8, (request) => recordsOf(request).join("")).map((text) => whole(zstdCompressSync(text)));
      const { peak } = await fresh.measure("until their logs are delivered", async () => {
        const replies = await Promise.all(sent.map((body) => fresh.post(body, zstd)));
        for (const { status } of replies) expect([200, 503]).toContain(status);
        await fresh.delivered();
      });
      expect(peak).toBeLessThan(300e6);
      expect(await fresh.stop()).toBe(0);
    },
    timeoutMs * 2,
  );
});

describe("one 64 MiB body of real records", () => {
  test.each([
    ["plain", (body: Buffer) => body, {}],
    ["in zstd", (body: Buffer) => zstdCompressSync(body), zstd],
  ] as const)(
    "%s, is taken in less than 400 MB",
    async (name, compress, headers) => {
      const fresh = await startAttackedProgram(`a 64 MiB body, ${name}`);
      const body = whole(compress(largestBody()));
      const { result, peak } = await fresh.measure("until the answer", () => fresh.post(body, headers));
      expect<object>(result).toEqual(taken);
      expect(peak).toBeLessThan(maxPeakBytes);
      if (canMeasureMemory) expect(peak).toBeGreaterThan(0);
      await fresh.measure("until its logs are delivered", () => fresh.delivered());
      const again = await fresh.measure("the same again, all of it known", () => fresh.post(body, headers));
      expect<object>(again.result).toEqual(taken);
      expect(await fresh.stop()).toBe(0);
    },
    timeoutMs,
  );
});
