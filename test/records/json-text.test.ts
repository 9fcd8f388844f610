/** Cutting a JSON text gives the parts that `JSON.parse` gives. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalJson } from "../../src/records/canonical-json.ts";
import { elementTexts, memberText } from "../../src/records/json-text.ts";
import { seeded } from "../support/random.ts";

const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\r"), maxLength: 3 });
const string = fc.string({
  unit: fc.oneof(
    fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "\n", "\u2028", "\ud800"),
    fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
  ),
});
const name = fc.oneof(fc.constantFrom("event", "logs", "__proto__", ""), string);

/** JSON text with white space in every place that allows it. */
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

test("the elements of a list", () => {
  fc.assert(
    fc.property(fc.array(jsonText, { maxLength: 5 }), (elements) => {
      const text = ` [${elements.join(",")}] `;
      expect(elementTexts(text).map((element) => JSON.parse(element) as unknown)).toEqual(JSON.parse(text));
    }),
    seeded(1000),
  );
});

test("the members of an object, the last of a name winning", () => {
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

test("keeps the text of a part as it was", () => {
  const text = String.raw`{ "time" : 1.50 , "\u0065vent" : { "a" : "\\\"}" , "b":[ 1.0 , 1e2 ] } , "x":null }`;
  expect(memberText(text, "event")).toBe(String.raw`{ "a" : "\\\"}" , "b":[ 1.0 , 1e2 ] }`);
  expect(memberText(text, "time")).toBe("1.50");
  expect(memberText(text, "x")).toBe("null");
  expect(elementTexts('[ "a,b" , {"c":"]"} , 1.0]')).toEqual(['"a,b"', '{"c":"]"}', "1.0"]);
});

test("is not slowed by depth: 100,000 levels are walked, not recursed into", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  expect(memberText(`{"event":${deep}}`, "event")).toBe(deep);
});

test("canonical text is one for each value", () => {
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
