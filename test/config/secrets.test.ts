import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { displayUrl, effectiveRows } from "../../src/config/index.ts";
import { inspectIn, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();
const tokenFile = join(directory, "token");
writeFileSync(tokenFile, "\n  from-the-file \r\n");

describe("a secret in a file of its own", () => {
  test("is read and trimmed, whichever layer names the file", () => {
    const byFile = inspectIn(directory, { toml: `[streaming]\ntoken_file = ${JSON.stringify(tokenFile)}\n` });
    const byVariable = inspectIn(directory, { environment: { TS2OTEL_STREAMING__TOKEN_FILE: tokenFile } });
    const byFlag = inspectIn(directory, { set: [`streaming.token_file=${tokenFile}`] });
    for (const { config } of [byFile, byVariable, byFlag]) expect(config.streaming.token).toBe("from-the-file");
    expect(byFile.origins.get("streaming.token")).toEqual({
      from: "file",
      file: "tailscale2otel.toml",
      line: 2,
      secretFile: tokenFile,
    });
  });

  test("together with the secret itself is an error, whichever layers they are in", () => {
    const { problems } = inspectIn(directory, {
      toml: '[streaming]\nenabled = true\ntoken = "x"\n',
      environment: { TS2OTEL_STREAMING__TOKEN_FILE: tokenFile },
    });
    expect(problems).toEqual([
      "TS2OTEL_STREAMING__TOKEN_FILE: streaming.token_file: streaming.token is set too. Remove one of streaming.token and streaming.token_file.",
    ]);
  });

  test("may accompany an empty secret", () => {
    const { config } = inspectIn(directory, {
      toml: '[streaming]\ntoken = ""\n',
      environment: { TS2OTEL_STREAMING__TOKEN_FILE: tokenFile },
    });
    expect(config.streaming.token).toBe("from-the-file");
  });

  test("is relative to the file that names it, or to the working directory in a variable or flag", () => {
    mkdirSync(join(directory, "etc"), { recursive: true });
    writeFileSync(join(directory, "etc", "token"), "from-etc");
    const toml = "[streaming]\ntoken_file = 'token'\ntls.cert_file = 'cert.pem'\n";
    writeFileSync(join(directory, "etc", "config.toml"), toml);
    const environment = { TS2OTEL_CONFIG: "etc/config.toml" };
    const { config } = inspectIn(directory, { environment });
    expect(config.streaming.token).toBe("from-etc");
    expect(config.streaming.tls.cert_file).toBe(join(directory, "etc", "cert.pem"));
    expect(inspectIn(directory, { set: ["streaming.token_file=token"] }).config.streaming.token).toBe("from-the-file");
  });

  const unusable: readonly [name: string, make: (path: string) => void, reason: string][] = [
    ["missing", () => {}, "there is no such file"],
    ["empty", (path) => writeFileSync(path, " \n"), "is empty"],
    ["two-lines", (path) => writeFileSync(path, "s3cr3t-one\ns3cr3t-two\n"), "invalid secret in"],
    ["huge", (path) => writeFileSync(path, "x".repeat(65 * 1024)), "larger than 64KiB"],
  ];

  test.each(unusable)("that is %s is an error", (name, make, reason) => {
    const path = join(directory, name);
    make(path);
    const { problems } = inspectIn(directory, { set: [...soundSettings, `streaming.token_file=${path}`] });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(reason);
    expect(problems[0]).not.toContain("s3cr3t");
  });

  test("that is a directory is an error", () => {
    const { problems } = inspectIn(directory, { set: [...soundSettings, `streaming.token_file=${directory}`] });
    expect(problems[0]).toContain("it is a directory");
  });
});

describe("secrets are never shown", () => {
  const secret = "s3cr3t";
  const toml = `
[streaming]
enabled = true
token = "${secret}"
token_previous = "${secret}"
[collectors]
flowlogs.source = "stream"
auditlogs.source = "stream"
[otlp]
endpoint = "https://ann:${secret}@192.0.2.1/otlp?key=${secret}"
headers = { Authorization = "Bearer ${secret}" }
[otlp.logs.headers]
"X-Key" = "${secret}"
[otlp.grafana_cloud]
instance_id = "123"
token = "${secret}"
`;

  test("in the effective configuration", () => {
    const inspection = inspectIn(directory, { toml });
    expect(inspection.problems).toEqual([]);
    expect(inspection.config.streaming.token).toBe(secret);
    const rows = effectiveRows(inspection);
    expect(JSON.stringify(rows)).not.toContain(secret);
    const shown = Object.fromEntries(rows.map(({ key, value }) => [key, value]));
    expect(shown).toMatchObject({
      "streaming.token": "[redacted]",
      "otlp.endpoint": '"https://[redacted]@192.0.2.1/otlp?[redacted]"',
      "otlp.headers.Authorization": "[redacted]",
      "otlp.logs.headers.X-Key": "[redacted]",
      "otlp.grafana_cloud.token": "[redacted]",
    });
  });

  test("an empty one is shown as empty, because that matters", () => {
    const rows = effectiveRows(inspectIn(directory, {}));
    expect(rows.find(({ key }) => key === "streaming.token")?.value).toBe('""');
  });

  test.each([
    `[streaming]\ntoken = "${secret} with spaces"`,
    `[streaming]\ntoken = ["${secret}"]`,
    `[otlp]\nendpoint = "ftp://ann:${secret}@192.0.2.1"`,
    `[otlp]\nheaders = "${secret}"`,
    `[otlp.headers]\nX-Key = "${secret}\\u0007"`,
    `[otlp.headers]\nX-Key = ["${secret}"]`,
  ])("in a problem: %j", (wrong) => {
    const { problems } = inspectIn(directory, { toml: wrong });
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain(secret);
  });
});

test.each([
  ["http://:s3cr3t@example.com/x", "http://[redacted]@example.com/x"],
  ["https://ann@example.com", "https://[redacted]@example.com"],
  ["https://ann:s3cr3t@example.com:1/?k=s3cr3t#f", "https://[redacted]@example.com:1/?[redacted]#f"],
  ["https://example.com/@x", "https://example.com/@x"],
])("%s is shown as %s", (url, shown) => {
  expect(displayUrl(url)).toBe(shown);
});

describe("text that is not TOML is shown without secrets", () => {
  test.each([
    ["the line itself", '[streaming]\ntoken = "s3cr3t\n'],
    ["a value in a table of headers", "[otlp.headers]\nX-Tenant = s3cr3t\n"],
    ["a line of a long string", '[streaming]\ntoken = """\ns3cr3t = \\q\n"""\n'],
    ["the second line of a long string", '[streaming]\ntoken = """s3cr3t-one\ns3cr3t-two\\q"""\n'],
    ["the line after a long string", '[streaming]\ntoken = """\ns3cr3t"""\nlisten = :1\n'],
    ["a long string that is not closed", '[streaming]\ntoken = """\ns3cr3t\nlisten = ":1"\n'],
    ["an address with a password", "[otlp]\nendpoint = http://ann:s3cr3t@192.0.2.1\n"],
    ["a table that is not closed", '[otlp]\nheaders = { X-Key = "s3cr3t"\nprotocol = "stdout"\n'],
    ["a list that is not closed", '[streaming]\ntoken = ["s3cr3t"\nlisten = ":1"\n'],
    ["an array over several lines", '[otlp]\nx = [\n"s3cr3t" "s3cr3t"\n]\n'],
  ])("%s", (_, toml) => {
    const { problems } = inspectIn(directory, { toml });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("invalid TOML");
    expect(problems[0]).not.toContain("s3cr3t");
  });
});

test("a secret in a flag gets a warning that suggests a file", () => {
  const { warnings } = inspectIn(directory, {
    set: [...soundSettings, "streaming.token=s3cr3t", "otlp.headers.a=s3cr3t"],
  });
  expect(warnings).toEqual([
    "streaming.token: it was given as a flag, and every user of this machine can read the arguments of a process. Use --set streaming.token_file=PATH with the secret in that file, or a variable or the configuration file.",
    "otlp.headers.a: it was given as a flag, and every user of this machine can read the arguments of a process. Use a variable or the configuration file.",
  ]);
});
