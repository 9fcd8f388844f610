/** The reader of lists in answers, with `JSON.parse` as its oracle, and all kinds of malformed answers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BadAnswer } from "../../src/tailscale/errors.ts";
import { type AnswerList, objectsIn } from "../../src/tailscale/list-answer.ts";
import { seeded } from "../support/random.ts";

/** The body in pieces of `size` bytes. */
async function* pieces(body: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += size) yield body.slice(at, at + size);
}

const logs = (maxBytes = 1e9): AnswerList => ({ name: "logs", maxBytes, maxParts: Number.POSITIVE_INFINITY });

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function read(body: string | Uint8Array, { size = 7, maxBytes = 1e9 } = {}): Promise<string[]> {
  const found: string[] = [];
  const bytes = typeof body === "string" ? bytesOf(body) : body;
  for await (const records of objectsIn(pieces(bytes, size), logs(maxBytes)))
    found.push(...records.map((record) => Buffer.from(record).toString()));
  return found;
}

describe("an answer", () => {
  test.each([
    ['{"logs":[]}', []],
    ['{"logs":null}', []],
    ["{}", []],
    ['{"version":"1.1","tailnetId":"T1CNTRL","logs":null}\n', []],
    ['{"logs":[{"a":1},{"b":[2,{"c":"]}"}]}]}', ['{"a":1}', '{"b":[2,{"c":"]}"}]}']],
    [' {\t"logs" :\r\n[ {"a":"\\"}\\\\"} , {} ] , "more" : -1.5e3 } \n', ['{"a":"\\"}\\\\"}', "{}"]],
    ['{"nested":{"logs":[{"not":"this"}]},"logs":[{"this":1}]}', ['{"this":1}']],
    ['{"a":"{\\"logs\\":[","logs":[{"this":1}]}', ['{"this":1}']],
    ['{"a\\"logs":[1],"logs":[{"this":1}]}', ['{"this":1}']],
    ['{"logs":[{"ü✓😀":"\\u2028"}],"last":true}', ['{"ü✓😀":"\\u2028"}']],
  ])("%s yields its records, wherever it is split", async (body, texts) => {
    for (const size of [1, 2, 3, 5, 1000]) expect(await read(body, { size })).toEqual(texts);
  });

  test("yields what JSON.parse finds in it", async () => {
    const body = fc.record(
      {
        logs: fc.oneof(fc.constant(null), fc.array(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()))),
        version: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(body, fc.integer({ min: 1, max: 40 }), fc.constantFrom(0, 2), async (value, size, indent) => {
        const found = await read(JSON.stringify(value, null, indent), { size });
        expect(found.map((text): unknown => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(value.logs ?? [])));
      }),
      seeded(300),
    );
  });
});

describe("is malformed", () => {
  const whole = '{"version":"1.1","logs":[{"a":"ü"},{"b":[1,2]}],"end":{"c":null}}';
  test("when it is cut off anywhere", async () => {
    const bytes = bytesOf(whole);
    for (let end = 0; end < bytes.length; end++) {
      await expect(read(bytes.subarray(0, end), { size: 4 })).rejects.toThrow(BadAnswer);
    }
    expect(await read(whole)).toEqual(['{"a":"ü"}', '{"b":[1,2]}']);
  });

  test.each([
    ["", "it is empty"],
    ["  ", "it is empty"],
    ["[]", "not a JSON object"],
    ["null", "not a JSON object"],
    ["<html></html>", "not a JSON object"],
    ['\uFEFF{"logs":[]}', "not a JSON object"],
    ['{"logs":[]}x', "not a JSON object"],
    ['{"logs":[]}{"logs":[]}', "not a JSON object"],
    ['{"logs":{}}', "its logs are not an array"],
    ['{"logs":"a"}', "its logs are not an array"],
    ['{"logs":[1]}', "one of its logs is not an object"],
    ['{"logs":[null]}', "one of its logs is not an object"],
    ['{"logs":[{"a":1},]}', "one of its logs is not an object"],
    ['{"logs":[{"a":1}{"b":2}]}', "its logs are not JSON"],
    ['{"logs":[,{"a":1}]}', "one of its logs is not an object"],
    ['{"logs":[],"logs":[]}', "two members logs"],
    ['{"logs":[],}', "not a JSON object"],
    ['{"logs" []}', "not a JSON object"],
    ['{"logs":[],"a":tru}', "not a JSON object"],
    ['{"logs":[],"a":{"b":}}', "not a JSON object"],
    ['{"logs":[],"a\\x":1}', "not a JSON object"],
    ['{,"logs":[]}', "not a JSON object"],
    ["{logs:[]}", "not a JSON object"],
  ])("%p: %s", async (body, problem) => {
    for (const size of [1, 3, 100_000]) await expect(read(body, { size })).rejects.toThrow(problem);
    await expect(read(body)).rejects.toThrow(BadAnswer);
  });

  test("when a member beside the logs is larger than any the API sends", async () => {
    const body = `{"logs":[],"a":"${"x".repeat(70_000)}"}`;
    await expect(read(body, { size: 1000 })).rejects.toThrow("more than 65536 bytes beside its logs");
  });

  test("when it is not UTF-8 outside its records", async () => {
    for (const template of ['{"logs":[],"b":"?"}', '{"?":1}']) {
      const bytes = bytesOf(template);
      bytes[bytes.indexOf(0x3f)] = 0xff;
      await expect(read(bytes)).rejects.toThrow("not a JSON object in UTF-8");
    }
  });

  test("when one record is larger than 4 MiB, and no more is read", async () => {
    const piece = bytesOf("x".repeat(1024 * 1024));
    let pieceCount = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield bytesOf('{"logs":[{"a":"');
      for (; ; pieceCount++) yield piece;
    }
    await expect(Array.fromAsync(objectsIn(endless(), logs()))).rejects.toThrow("More than 4194304 bytes");
    expect(pieceCount).toBeLessThanOrEqual(5);
  });
});

test("an answer over the limit is refused before its end", async () => {
  const body = `{"logs":[${'{"a":1},'.repeat(100)}{}]}`;
  await expect(read(body, { maxBytes: 100 })).rejects.toThrow(BadAnswer);
  expect(await read(body, { maxBytes: body.length })).toHaveLength(101);
});

test("records are yielded as they arrive, and nothing more is read while they are processed", async () => {
  const record = JSON.stringify({ text: "x".repeat(1000) });
  let fed = 0;
  async function* body(): AsyncGenerator<Uint8Array> {
    yield bytesOf('{"logs":[{}');
    for (; fed < 500; fed++) yield bytesOf(`,${record}`);
    yield bytesOf(`${`,${record}`.repeat(1000)}]}`);
  }
  const sizes: number[] = [];
  for await (const texts of objectsIn(body(), logs())) {
    const before = fed;
    sizes.push(texts.length);
    await new Promise(setImmediate);
    expect(fed).toBe(before);
  }
  expect(sizes.slice(0, 501)).toEqual(new Array<number>(501).fill(1));
  // A large chunk is processed in pieces of 256 KiB.
  expect(sizes.slice(501)).toHaveLength(4);
  expect(sizes.reduce((sum, size) => sum + size)).toBe(1501);
});
