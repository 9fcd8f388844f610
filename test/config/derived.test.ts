import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { configJsonSchema, exampleFile, referencePage } from "../../scripts/config-reference.ts";
import { effectiveRows } from "../../src/config/index.ts";
import { settings } from "../../src/config/schema.ts";
import { list, section, sectionsOf } from "../../src/config/setting.ts";
import { readText, readTyped } from "../../src/config/values.ts";
import { inspectIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

test("every default passes its own schema and round-trips through its written form", () => {
  for (const setting of settings) {
    if (setting.kind === "map") continue;
    const [written] = Object.values(parse(`x = ${setting.written}`));
    expect([setting.key, readTyped(setting, written)]).toEqual([setting.key, { value: setting.default }]);
  }
});

test("a value of any type is read or refused with a message", () => {
  const literals = [
    "true",
    "-1",
    "1.5",
    "nan",
    '"text"',
    "[]",
    "[1]",
    "[[{ a = 1 }]]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "07:32:00",
  ];
  for (const setting of settings) {
    for (const literal of literals) {
      const reading = readTyped(setting, parse(`x = ${literal}`)["x"]);
      const refusal = "message" in reading ? `${reading.message}. ${reading.allowed}. ${reading.example}` : "";
      expect([setting.key, literal, refusal]).toEqual([setting.key, literal, expect.stringMatching(/^$|^invalid \w/)]);
      expect(refusal).not.toMatch(/undefined|\[object/);
    }
  }
});

test("every variable is derived from its key", () => {
  for (const { key, variable } of settings) {
    expect(variable).toBe(`TS2OTEL_${key.toUpperCase().replaceAll(".", "__")}`);
  }
});

describe("the example file", () => {
  test("changes nothing if it is not edited", () => {
    const asItIs = inspectIn(directory, { toml: exampleFile() });
    expect(effectiveRows(asItIs)).toEqual(effectiveRows(inspectIn(directory, {})));
  });

  test("says at the top which three settings make it valid", () => {
    const [head = ""] = exampleFile().split("\n\n# Minimum");
    expect(head).toContain("not valid until you fill in three settings");
    const filled = exampleFile()
      .replace("# client_id =", "client_id =")
      .replace("# client_secret =", "client_secret =")
      .replace("# endpoint =", "endpoint =");
    expect(inspectIn(directory, { toml: filled })).toMatchObject({ problems: [], warnings: [] });
  });

  test("is valid with every setting uncommented, except for missing files", () => {
    const toml = exampleFile().replace(/^# (\w+ = )/gm, "$1");
    const { problems, config } = inspectIn(directory, { toml });
    expect(problems.map((problem) => problem.replace(/^[^:]*:\d+: ([\w.]+):.*/, "$1"))).toEqual([
      "streaming.tls.cert_file",
      "streaming.tls.key_file",
      "webhook.tls.cert_file",
      "webhook.tls.key_file",
      "otlp.tls.ca_file",
      "otlp.tls.cert_file",
      "otlp.tls.key_file",
      "state.tls.ca_file",
      "state.tls.cert_file",
      "state.tls.key_file",
      "admin.tls.cert_file",
      "admin.tls.key_file",
    ]);
    expect(config.streaming.enabled).toBe(true);
    expect(config.otlp.headers).toEqual({ "X-Scope-OrgID": "tenant-1" });
    for (const { path, item } of settings)
      if (item === undefined) expect(toml).toMatch(new RegExp(`^${path.at(-1)} = `, "m"));
  });
});

test("the reference has a row for every setting, and for the file of every secret", () => {
  const page = referencePage();
  for (const { kind, variable, item } of settings) {
    if ((item?.index ?? 0) > 0) continue;
    expect(page).toContain(`| \`${variable}${kind === "map" ? "__…" : ""}\` |`);
    if (kind === "secret") expect(page).toContain(`\`${variable}_FILE\``);
  }
});

test("the JSON Schema describes the written form of settings", () => {
  const schema = configJsonSchema();
  expect(schema).toMatchObject({
    additionalProperties: false,
    properties: {
      streaming: {
        additionalProperties: false,
        properties: {
          enabled: { type: "boolean", default: false },
          request_timeout: { type: "string", default: "30s" },
          max_inflight_bytes: { type: ["integer", "string"], minimum: 1024 * 1024, default: "256MiB" },
          decompress: { enum: ["auto", "gzip", "zstd", "none"], default: "auto" },
          token_file: { type: "string" },
        },
      },
      otlp: { properties: { headers: { type: "object", additionalProperties: { type: "string" } } } },
    },
  });
});

describe("a list", () => {
  const [events] = sectionsOf(section("Test.", { events: list([], [], "Several.", "[]") }), () => 0)[0]?.settings ?? [];
  if (events === undefined) throw new Error("no setting");

  test("is separated by commas in a variable", () => {
    expect(readText(events, " a, b ,,c")).toEqual({ value: ["a", "b", "c"] });
    expect(readText(events, "")).toEqual({ value: [] });
  });

  test("is a list of texts in a file", () => {
    expect(readTyped(events, ["a"])).toEqual({ value: ["a"] });
    expect(readTyped(events, "a")).toMatchObject({ allowed: "a list of texts", example: '["a"]' });
    expect(readTyped(events, [1])).toHaveProperty("message");
  });
});
