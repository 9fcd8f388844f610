import { describe, expect, test } from "bun:test";
import { effectiveRows } from "../../src/config/index.ts";
import { inspectReload, secretFilesOf } from "../../src/config/reload.ts";
import { inspectIn, type Given, soundEnvironment, soundSettings, sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const inspect = ({ environment = {}, set = [], ...given }: Given) =>
  inspectIn(directory, {
    ...given,
    environment: { ...soundEnvironment, ...environment },
    set: [...soundSettings, ...set],
  });

const archive = `
[[otlp.also]]
name = "archive"
endpoint = "https://archive.example.com/otlp"
types = ["audit", "webhook"]
required = false
compression = "none"

[otlp.also.headers]
X-Scope-OrgID = "one"

[otlp.also.logs]
max_records = 100
`;

const second = `
[[otlp.also]]
name = "lake"
endpoint = "http://192.0.2.9:4318"
tls.ca_file = "missing.pem"
`;

test("there are no further destinations by default, and no rows about them", () => {
  const inspection = inspect({});
  expect(inspection).toMatchObject({ problems: [], warnings: [] });
  expect(inspection.config.otlp.also).toEqual([]);
  expect(effectiveRows(inspection).some(({ key }) => key.startsWith("otlp.also"))).toBe(false);
});

test("each table of the file is a destination with the defaults of the primary one", () => {
  const { config, problems, warnings } = inspect({ toml: archive });
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  expect(config.otlp.also).toMatchObject([
    {
      name: "archive",
      endpoint: "https://archive.example.com/otlp",
      types: ["audit", "webhook"],
      required: false,
      protocol: "http/protobuf",
      compression: "none",
      timeout: 10_000,
      headers: { "X-Scope-OrgID": "one" },
      logs: { enabled: true, max_records: 100, concurrency: 2 },
      metrics: { enabled: true },
    },
  ]);
});

test("variables and flags name a table by its number, and override the file", () => {
  const { config, problems } = inspect({
    toml: archive,
    environment: {
      TS2OTEL_OTLP__ALSO__0__HEADERS__X_SCOPE_ORGID: "two",
      TS2OTEL_OTLP__ALSO__1__NAME: "lake",
      TS2OTEL_OTLP__ALSO__1__ENDPOINT: "http://192.0.2.9:4318",
      TS2OTEL_OTLP__ALSO__1__TYPES: "flow, audit",
    },
    set: ["otlp.also.1.metrics.enabled=false"],
  });
  expect(problems).toEqual([]);
  expect(config.otlp.also.map(({ name, headers, types, metrics }) => [name, headers, types, metrics.enabled])).toEqual([
    ["archive", { "X-Scope-OrgID": "two" }, ["audit", "webhook"], true],
    ["lake", {}, ["flow", "audit"], false],
  ]);
});

test("check shows each value with its line, its variable or its flag", () => {
  const inspection = inspect({ toml: archive + second, set: ["otlp.also.1.timeout=5s"] });
  const rows = effectiveRows(inspection).filter(({ key, isDefault }) => key.startsWith("otlp.also") && !isDefault);
  expect(rows.map(({ key, value, origin }) => `${key} ${value} ${origin}`)).toEqual([
    'otlp.also.0.name "archive" tailscale2otel.toml:3',
    'otlp.also.0.types ["audit","webhook"] tailscale2otel.toml:5',
    "otlp.also.0.required false tailscale2otel.toml:6",
    'otlp.also.0.endpoint "https://archive.example.com/otlp" tailscale2otel.toml:4',
    "otlp.also.0.headers.X-Scope-OrgID [redacted] tailscale2otel.toml:10",
    'otlp.also.0.compression "none" tailscale2otel.toml:7',
    "otlp.also.0.logs.max_records 100 tailscale2otel.toml:13",
    'otlp.also.1.name "lake" tailscale2otel.toml:16',
    'otlp.also.1.endpoint "http://192.0.2.9:4318" tailscale2otel.toml:17',
    'otlp.also.1.timeout "5s" --set otlp.also.1.timeout',
    `otlp.also.1.tls.ca_file "${directory}/missing.pem" tailscale2otel.toml:18`,
  ]);
});

describe("it is a mistake if", () => {
  const table = (...lines: readonly string[]) => `[[otlp.also]]\n${lines.join("\n")}\n`;
  const endpoint = 'endpoint = "http://192.0.2.9:4318"';

  test.each([
    ["a name is missing", table(endpoint), "otlp.also.0.name: the destination has no name"],
    ["a table is empty", "[[otlp.also]]\n", "otlp.also.0.name: the destination has no name"],
    [
      "a name has other characters",
      table('name = "My Lake"', endpoint),
      "tailscale2otel.toml:2: otlp.also.0.name: invalid name of a destination. Use 1 to 32 lower-case letters",
    ],
    [
      "two have one name",
      table('name = "a"', endpoint) + table('name = "a"', endpoint),
      "tailscale2otel.toml:5: otlp.also.1.name: another destination has this name",
    ],
    ["one is called primary", table('name = "primary"', endpoint), "primary is the destination of [otlp]"],
    ["there is no endpoint", table('name = "a"'), "otlp.also.0.endpoint: the destination has no endpoint"],
    ["there are no types", table('name = "a"', endpoint, "types = []"), "otlp.also.0.types: the list is empty"],
    [
      "a type is unknown",
      table('name = "a"', endpoint, 'types = ["flows"]'),
      'tailscale2otel.toml:4: otlp.also.0.types: invalid list: unknown item "flows". Use a list of "flow", "audit" or "webhook", for example types = ["flow"]',
    ],
    [
      "nothing is exported",
      table('name = "a"', endpoint, "logs.enabled = false", "metrics.enabled = false"),
      "neither",
    ],
    [
      "a setting is unknown",
      table('name = "a"', endpoint, 'compresion = "gzip"'),
      "tailscale2otel.toml:4: otlp.also.0.compresion: unknown setting. Did you mean otlp.also.0.compression?",
    ],
    ["it is one table", '[otlp.also]\nname = "a"\n', "otlp.also: this is an array of tables. Write [[otlp.also]]"],
    ["a certificate cannot be read", archive + second, "tailscale2otel.toml:18: otlp.also.1.tls.ca_file: cannot read"],
    [
      "there are nine",
      Array.from({ length: 9 }, (_, n) => table(`name = "a${n}"`, endpoint)).join(""),
      "otlp.also: there are 9 tables, and at most 8 are allowed",
    ],
  ])("%s", (_, toml, problem) => {
    expect(inspect({ toml }).problems.join("\n")).toContain(problem);
  });

  test("variables leave a gap or use a number that is too high", () => {
    const gap = { TS2OTEL_OTLP__ALSO__1__NAME: "lake", TS2OTEL_OTLP__ALSO__1__ENDPOINT: "http://192.0.2.9:4318" };
    expect(inspect({ environment: gap }).problems.join("\n")).toContain(
      'otlp.also.0.name: the destination has no name. Set otlp.also.0.name, for example to "archive". Tables are numbered from 0 without a gap.',
    );
    const high = { TS2OTEL_OTLP__ALSO__8__NAME: "lake" };
    expect(inspect({ environment: high }).problems.join("\n")).toContain("TS2OTEL_OTLP__ALSO__8__NAME: no setting");
  });

  test("there is no primary destination", () => {
    const problems = inspect({ toml: archive, set: ["otlp.endpoint="] }).problems.join("\n");
    expect(problems).toContain("there are further destinations, but no primary one. Set otlp.endpoint");
  });
});

describe("a reload", () => {
  const sources = (toml: string) =>
    sourcesIn(directory, { toml, environment: soundEnvironment, set: [...soundSettings] });
  const running = inspect({ toml: archive }).config;

  test("applies new headers of a destination at once", () => {
    const { config, problems, waiting } = inspectReload(running, sources(archive.replace('"one"', '"two"')));
    expect({ problems, waiting }).toEqual({ problems: [], waiting: [] });
    expect(config.otlp.also[0]?.headers).toEqual({ "X-Scope-OrgID": "two" });
  });

  test("keeps the headers of a destination whose address changes until a restart", () => {
    const moved = archive.replace('"one"', '"two"').replace("archive.example.com", "other.example.com");
    const { config, waiting } = inspectReload(running, sources(moved));
    expect(waiting).toEqual(["otlp.also.0.endpoint", "otlp.also.0.headers"]);
    expect(config.otlp.also[0]?.headers).toEqual({ "X-Scope-OrgID": "one" });
  });

  test("reports an added, removed or renamed destination once, as waiting for a restart", () => {
    const added = inspectReload(running, sources(archive + second.replace(/tls.*/, "")));
    expect(added.waiting).toEqual(["otlp.also.1.name"]);
    expect(added.config.otlp.also).toHaveLength(1);
    expect(inspectReload(running, sources("")).waiting).toEqual(["otlp.also.0.name"]);
    const renamed = inspectReload(running, sources(archive.replace('"archive"', '"depot"').replace('"one"', '"two"')));
    expect(renamed.waiting).toEqual(["otlp.also.0.name"]);
    expect(renamed.differing).toEqual(["otlp.also.0.name", "otlp.also.0.headers"]);
    expect(renamed.config.otlp.also[0]?.headers).toEqual({ "X-Scope-OrgID": "one" });
  });
});

test("the files of a destination's secrets and certificates are watched", () => {
  const inspection = inspect({
    toml: archive + second,
    environment: { TS2OTEL_OTLP__ALSO__0__GRAFANA_CLOUD__TOKEN_FILE: "/etc/hostname" },
  });
  expect(secretFilesOf(inspection)).toEqual(["/etc/hostname", `${directory}/missing.pem`]);
});
