/** The text of a record: readable, exact, limited in length, and without hidden characters. */
import { expect, test } from "bun:test";
import { indented, isStructured, maxShown, recordText, visible } from "../../../src/page/record-text.ts";

const plain = { isIndented: true, isBeginning: false };

test("JSON is indented, with every digit and member unchanged", () => {
  const text = '{"a":12345678901234567890,"a":1.0,"b":[],"c":{ },"d":[1,{"e":"x, {y}: \\"z\\" [\\\\"}],"f":null}';
  const shown = indented(text);
  expect(shown).toBe(`{
  "a": 12345678901234567890,
  "a": 1.0,
  "b": [],
  "c": {},
  "d": [
    1,
    {
      "e": "x, {y}: \\"z\\" [\\\\"
    }
  ],
  "f": null
}`);
  expect(JSON.parse(shown)).toEqual(JSON.parse(text));
  expect(indented("[1, 2]")).toBe(JSON.stringify([1, 2], undefined, 2));
});

test("text that is not JSON stays unchanged, unless it is the beginning of JSON", () => {
  for (const text of ["no { json, at: all", '{"a": ', "", "x".repeat(10)]) expect(indented(text)).toBe(text);
  expect(indented('{"a":1,"b":"x,{', true)).toBe('{\n  "a": 1,\n  "b": "x,{');
});

test("a long text is truncated, and so are many texts", () => {
  const long = JSON.stringify({ a: "x".repeat(1_000_000) });
  const shown = recordText([long], plain);
  expect([shown.text.length, shown.isCut]).toEqual([maxShown, true]);
  const many = recordText(
    Array.from({ length: 100 }, () => "y".repeat(5000)),
    plain,
  );
  expect(many.isCut).toBe(true);
  expect(many.text.length).toBeLessThan(maxShown + 1000);
  expect(recordText(['{"a":1}', '{"b":2}'], plain)).toEqual({
    text: '{\n  "a": 1\n}\n\n{\n  "b": 2\n}',
    isCut: false,
  });
  expect(recordText(['{"a":1}'], { ...plain, isIndented: false }).text).toBe('{"a":1}');
});

test("a text that is nested too deeply stays unchanged", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "1" + "]".repeat(depth);
  expect(indented(nested(40_000))).toBe(nested(40_000));
  expect(indented(nested(201))).toBe(nested(201));
  expect(indented(nested(200)).split("\n")).toHaveLength(401);
  expect(indented(`["${"[".repeat(300)}"]`)).toContain("\n");
  expect(recordText([nested(60_000)], plain)).toMatchObject({ isCut: true });
});

test("distinguishes objects and lists from other texts", () => {
  for (const text of ['{"a":1}', " [1]", "[]"]) expect(isStructured(text)).toBe(true);
  for (const text of ["true", '"a"', "{ // HuJSON\n}", "{", "", "{}x"]) expect(isStructured(text)).toBe(false);
});

test("characters that hide something or change the direction of text are made visible", () => {
  expect(visible('a\u202Eb\u200Bc\u0000\n\t<img src=x onerror="alert(1)">')).toBe(
    'a\\u202eb\\u200bc\\u0000\n\t<img src=x onerror="alert(1)">',
  );
  expect(visible("\u{e0041}é😀")).toBe("\\u{e0041}é😀");
});
