/** Tests that the end and the parts of a JSON value are found as `JSON.parse` finds them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalJson, elementsOf, memberOf, ValueBoundary, valueLimits } from "../../src/records/json.ts";
import { seeded } from "../support/random.ts";
import { bytesOf, textOf } from "../support/records.ts";

const elementTexts = (array: string): string[] => [...elementsOf(bytesOf(array))].map(textOf);

function memberText(object: string, name: string): string | undefined {
  const found = memberOf(bytesOf(object), name);
  return found && textOf(found);
}

const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\r"), maxLength: 3 });
const string = fc.string({
  unit: fc.oneof(
    fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "\n", "\u2028", "\ud800"),
    fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
  ),
});
const name = fc.oneof(fc.constantFrom("event", "logs", "__proto__", ""), string);

/** JSON text with white space wherever it is allowed. */
const { value: jsonText } = fc.letrec<{ value: string; text: string }>((tie) => ({
  text: fc.oneof(
    { depthSize: "small" },
    string.map((text) => JSON.stringify(text)),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
    fc.constantFrom("null", "true", "false", "[]", "{}", "1e400", "-0", String.raw`"\u0065vent"`),
    fc.array(tie("value"), { maxLength: 4 }).map((elements) => `[${elements.join(",")}]`),
    fc
      .array(fc.tuple(space, name, space, tie("value")), { maxLength: 4 })
      .map(
        (members) =>
          `{${members.map(([before, key, after, value]) => `${before}${JSON.stringify(key)}${after}:${value}`).join(",")}}`,
      ),
  ),
  value: fc.tuple(space, tie("text"), space).map(([before, text, after]) => before + text + after),
}));

test("finds the elements of a list", () => {
  fc.assert(
    fc.property(fc.array(jsonText, { maxLength: 5 }), (elements) => {
      const text = ` [${elements.join(",")}] `;
      expect(elementTexts(text).map((element) => JSON.parse(element) as unknown)).toEqual(JSON.parse(text));
    }),
    seeded(1000),
  );
});

test("finds the members of an object, the last one of a name", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, jsonText), { maxLength: 5 }),
      fc.constantFrom("event", "logs", "__proto__", "", "absent"),
      (members, wanted) => {
        const text = `\n{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
        const found = memberText(text, wanted);
        const parsed = JSON.parse(text) as object;
        if (!Object.hasOwn(parsed, wanted)) expect(found).toBeUndefined();
        else
          expect(JSON.parse(found ?? "missing")).toEqual(Object.entries(parsed).find(([key]) => key === wanted)?.[1]);
      },
    ),
    seeded(1000),
  );
});

test("keeps the text of a part unchanged", () => {
  const text = String.raw`{ "time" : 1.50 , "\u0065vent" : { "a" : "\\\"}" , "b":[ 1.0 , 1e2 ] } , "x":null }`;
  expect(memberText(text, "event")).toBe(String.raw`{ "a" : "\\\"}" , "b":[ 1.0 , 1e2 ] }`);
  expect(memberText(text, "time")).toBe("1.50");
  expect(memberText(text, "x")).toBe("null");
  expect(elementTexts('[ "a,b" , {"c":"]"} , 1.0]')).toEqual(['"a,b"', '{"c":"]"}', "1.0"]);
});

test("finds a part of the maximum depth", () => {
  const levels = valueLimits.depth - 1;
  const deep = `${"[".repeat(levels)}${"]".repeat(levels)}`;
  expect(memberText(`{"event":${deep}}`, "event")).toBe(deep);
});

test("canonical text is the same for equal values", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      const reversed = JSON.parse(JSON.stringify(value), (_, member: unknown) =>
        typeof member === "object" && member !== null && !Array.isArray(member)
          ? Object.fromEntries(Object.entries(member).reverse())
          : member,
      ) as unknown;
      expect(canonicalJson(reversed)).toBe(text);
    }),
    seeded(500),
  );
  expect(canonicalJson({ b: [1, { d: null, c: "é" }], a: -0 })).toBe('{"a":0,"b":[1,{"c":"é","d":null}]}');
  expect(canonicalJson(undefined)).toBe("");
});

describe("the boundary of a value", () => {
  const encode = (text: string) => new TextEncoder().encode(text);

  test("is found wherever the slices end, value after value", () => {
    const boundary = new ValueBoundary();
    fc.assert(
      fc.property(
        fc.array(jsonText, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 9 }),
        (values, size) => {
          const texts = values.map((text) => text.trim());
          const bytes = encode(`${texts.join(" ")} `);
          const found: string[] = [];
          let begun = -1;
          for (let from = 0; from < bytes.length; from += size) {
            const to = Math.min(bytes.length, from + size);
            for (let at = from; at < to;) {
              if (begun < 0) {
                if (" \t\r\n".includes(String.fromCharCode(bytes[at] as number))) {
                  at++;
                  continue;
                }
                begun = at;
              }
              const end = boundary.endOf(bytes, at, to);
              if (end < 0) break;
              found.push(new TextDecoder().decode(bytes.subarray(begun, end)));
              begun = -1;
              at = end;
            }
          }
          expect(found.map((text) => JSON.parse(text) as unknown)).toEqual(
            texts.map((text) => JSON.parse(text) as unknown),
          );
        },
      ),
      seeded(1000),
    );
  });

  test.each([
    ["objects of two concatenated", '{"a":"}"}{"b":1}', 9],
    ["a string with an escaped quote", String.raw`"a\"b\\\""x`, 10],
    ["a number before a comma", "-1.5e3,", 6],
    ["a word before a bracket", "null]", 4],
  ])("of %s", (_, text, end) => {
    const bytes = encode(text);
    expect(new ValueBoundary().endOf(bytes, 0, bytes.length)).toBe(end);
  });

  test.each([
    ["depth", "[".repeat(valueLimits.depth + 1)],
    ["parts", `[${"1,".repeat(valueLimits.parts)}`],
    ["nested parts", `[${"{},".repeat(valueLimits.parts / 2)}`],
    ["bytes", `"${"x".repeat(valueLimits.bytes)}`],
    ["escapes", `"${"\\n".repeat(valueLimits.escapes + 1)}`],
    ["names", `{${Array.from({ length: 3 * valueLimits.names }, (__, member) => `"${member}":1`).join(",")}}`],
  ])("refuses a value beyond its limit on %s, even in slices", (_, text) => {
    const bytes = encode(text);
    const refusal = expect.objectContaining({ name: "Refusal", reason: "too_large" });
    expect(() => new ValueBoundary().endOf(bytes, 0, bytes.length)).toThrow(refusal);
    expect(() => {
      const boundary = new ValueBoundary();
      const size = 256 * 1024;
      for (let at = 0; at < bytes.length; at += size) boundary.endOf(bytes, at, Math.min(bytes.length, at + size));
    }).toThrow(refusal);
  });

  test("accepts values just within the limits", () => {
    const depth = encode("[".repeat(valueLimits.depth) + "]".repeat(valueLimits.depth));
    expect(new ValueBoundary().endOf(depth, 0, depth.length)).toBe(depth.length);
    const member = '{"proto":6,"src":"100.64.0.1:1","txBytes":1}';
    const names = encode(`[${Array.from({ length: 37_000 }, () => member).join(",")}]`);
    expect(new ValueBoundary().endOf(names, 0, names.length)).toBe(names.length);
    const escapes = encode(`"${"\\n".repeat(valueLimits.escapes)}"`);
    expect(new ValueBoundary().endOf(escapes, 0, escapes.length)).toBe(escapes.length);
    const text = encode(`"${"x".repeat(valueLimits.bytes - 2)}"`);
    expect(new ValueBoundary().endOf(text, 0, text.length)).toBe(text.length);
  });
});
