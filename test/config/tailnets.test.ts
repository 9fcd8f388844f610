import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { effectiveRows, isPolled, tailnetConfigs, tailnetName } from "../../src/config/index.ts";
import { inspectReload, secretFilesOf } from "../../src/config/reload.ts";
import { inspectIn, type Given, sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

/** Both receivers and a backend. */
const shared = [
  "streaming.enabled=true",
  "webhook.enabled=true",
  "otlp.endpoint=http://192.0.2.1:4318",
  "collectors.flowlogs.source=stream",
  "collectors.auditlogs.source=stream",
  "state.path=/srv/state",
];

const inspect = ({ set = [], ...given }: Given) => inspectIn(directory, { ...given, set: [...shared, ...set] });

const acme = `
[[tailnet]]
name = "acme"
streaming.token = "token-acme"
webhook.secret = "tskey-webhook-acme"
`;

const globex = `
[[tailnet]]
name = "globex"
streaming.token = "token-globex"
webhook.secret = "tskey-webhook-globex"

[tailnet.tailscale]
tailnet = "example.com"

[tailnet.tailscale.auth.oauth]
client_id = "kGlobex"
client_secret = "secret-globex"

[tailnet.collectors.auditlogs]
source = "both"

[tailnet.resource.attributes]
team = "blue"
`;

const both = acme + globex;

test("without sections there is one unnamed tailnet with the whole configuration", () => {
  const { config } = inspect({ set: ["streaming.token=a-token", "webhook.secret=s", "tailscale.tailnet=example.com"] });
  const [only, ...others] = tailnetConfigs(config);
  expect([only.name, only.keyOf("streaming.token"), others]).toEqual(["", "streaming.token", []]);
  expect(only.config).toBe(config);
  expect(tailnetName(config)).toBe("example.com");
  expect(tailnetName({ ...config, tailscale: { ...config.tailscale, tailnet: "-" } })).toBe("");
});

test("each section is a tailnet with a complete configuration, its own settings overriding the shared ones", () => {
  const inspection = inspect({
    toml: `resource.attributes = { team = "red", place = "here" }\n${both}`,
    set: ["streaming.max_body_bytes=1MiB"],
  });
  expect(inspection).toMatchObject({ problems: [], warnings: [] });
  const [first, second] = tailnetConfigs(inspection.config);
  expect([first.name, tailnetName(first.config), second?.name]).toEqual(["acme", "acme", "globex"]);
  expect(first.config).toMatchObject({
    streaming: { token: "token-acme", max_body_bytes: 1024 * 1024 },
    webhook: { secret: "tskey-webhook-acme" },
    tailscale: { tailnet: "-", auth: { oauth: { client_id: "", client_secret: "" } } },
    resource: { attributes: { team: "red", place: "here" } },
    state: { path: "/srv/state/acme" },
    tailnet: [{ name: "acme" }],
  });
  expect(second?.config).toMatchObject({
    streaming: { token: "token-globex", max_body_bytes: 1024 * 1024 },
    tailscale: { tailnet: "example.com", auth: { oauth: { client_id: "kGlobex", client_secret: "secret-globex" } } },
    resource: { attributes: { team: "blue", place: "here" } },
    state: { path: "/srv/state/globex", schema: "tailscale2otel_globex" },
  });
  expect([first.config, second?.config].map((config) => config && isPolled(config, "auditlogs"))).toEqual([
    false,
    true,
  ]);
});

test("the keys of a tailnet name its section for settings, secret files and tables that sections have", () => {
  const [, second] = tailnetConfigs(inspect({ toml: both }).config);
  const keys = ["streaming.token", "webhook.secret_file", "tailscale.auth", "streaming.listen", "otlp.endpoint"];
  expect(keys.map((key) => second?.keyOf(key))).toEqual([
    "tailnet.1.streaming.token",
    "tailnet.1.webhook.secret_file",
    "tailnet.1.tailscale.auth",
    "streaming.listen",
    "otlp.endpoint",
  ]);
});

test("state in memory stays in memory", () => {
  const { config } = inspect({ toml: both, set: ["state.path=:memory:"] });
  expect(tailnetConfigs(config).map(({ config: own }) => own.state.path)).toEqual([":memory:", ":memory:"]);
});

test("a public URL without a path gets the path of the tailnet; any other stays unchanged", () => {
  const { config } = inspect({
    toml: both,
    set: ["streaming.public_url=https://logs.example.com", "webhook.public_url=https://hooks.example.com/in"],
  });
  expect(
    tailnetConfigs(config).map(({ config: { streaming, webhook } }) => [streaming.public_url, webhook.public_url]),
  ).toEqual([
    ["https://logs.example.com/acme/services/collector/event", "https://hooks.example.com/in"],
    ["https://logs.example.com/globex/services/collector/event", "https://hooks.example.com/in"],
  ]);
});

test("a switch that a section does not set has the shared value and origin", () => {
  const inspection = inspect({ toml: both, set: ["collectors.flowlogs.enabled=false"] });
  const rows = effectiveRows(inspection).filter(({ key }) => /^tailnet\.\d\.collectors/.test(key));
  expect(rows.map(({ key, value, origin }) => `${key} ${value} ${origin}`)).toEqual([
    "tailnet.0.collectors.flowlogs.enabled false --set collectors.flowlogs.enabled",
    'tailnet.0.collectors.flowlogs.source "stream" --set collectors.flowlogs.source',
    "tailnet.0.collectors.auditlogs.enabled true default",
    'tailnet.0.collectors.auditlogs.source "stream" --set collectors.auditlogs.source',
    "tailnet.1.collectors.flowlogs.enabled false --set collectors.flowlogs.enabled",
    'tailnet.1.collectors.flowlogs.source "stream" --set collectors.flowlogs.source',
    "tailnet.1.collectors.auditlogs.enabled true default",
    'tailnet.1.collectors.auditlogs.source "both" tailscale2otel.toml:20',
  ]);
});

test("variables and flags number the sections, and secrets are hidden and may be in files", () => {
  const file = join(directory, "token");
  writeFileSync(file, "token-from-file\n");
  const inspection = inspect({
    environment: {
      TS2OTEL_TAILNET__0__NAME: "acme",
      TS2OTEL_TAILNET__0__STREAMING__TOKEN_FILE: file,
      TS2OTEL_TAILNET__0__WEBHOOK__SECRET: "tskey-webhook-acme",
      TS2OTEL_TAILNET__0__RESOURCE__ATTRIBUTES__SERVICE_NAMESPACE: "one",
      TS2OTEL_TAILNET__1__NAME: "globex",
      TS2OTEL_TAILNET__1__TAILSCALE__AUTH__OAUTH__CLIENT_ID: "k",
      TS2OTEL_TAILNET__1__TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: "s",
      TS2OTEL_TAILNET__1__WEBHOOK__ENABLED: "false",
    },
    set: ["tailnet.1.streaming.token=token-globex"],
  });
  expect(inspection.problems).toEqual([]);
  expect(tailnetConfigs(inspection.config).map(({ config }) => config.streaming.token)).toEqual([
    "token-from-file",
    "token-globex",
  ]);
  expect(inspection.config.tailnet[0]?.resource.attributes).toEqual({ "service.namespace": "one" });
  expect(secretFilesOf(inspection)).toEqual([file]);
  const rows = effectiveRows(inspection).filter(({ key, isSecret }) => key.startsWith("tailnet") && isSecret);
  expect(
    rows.filter(({ isDefault }) => !isDefault).map(({ key, value, origin }) => `${key} ${value} ${origin}`),
  ).toEqual([
    `tailnet.0.streaming.token [redacted] TS2OTEL_TAILNET__0__STREAMING__TOKEN_FILE (${file})`,
    "tailnet.0.webhook.secret [redacted] TS2OTEL_TAILNET__0__WEBHOOK__SECRET",
    "tailnet.1.tailscale.auth.oauth.client_secret [redacted] TS2OTEL_TAILNET__1__TAILSCALE__AUTH__OAUTH__CLIENT_SECRET",
    "tailnet.1.streaming.token [redacted] --set tailnet.1.streaming.token",
  ]);
});

describe("it is a mistake if", () => {
  const section = (...lines: readonly string[]) => `[[tailnet]]\n${lines.join("\n")}\n`;

  test.each([
    [
      "a name is missing",
      section('streaming.token = "x"'),
      "tailnet.0.name: the tailnet has no name. Set tailnet.0.name",
    ],
    ["a section is empty", "[[tailnet]]\n", "tailnet.0.name: the tailnet has no name"],
    ...["../acme", "Acme", "a/b", "a b", ".", "-a", "a.b", "a".repeat(33), "ä"].map(
      (name) => [`a name is ${name}`, section(`name = "${name}"`), "invalid name of a tailnet. Use 1 to 32"] as const,
    ),
    [
      "two have one name",
      section('name = "a"') + section('name = "a"'),
      "tailscale2otel.toml:4: tailnet.1.name: another tailnet has this name",
    ],
    [
      "two have one name in a database",
      section('name = "a-b"') + section('name = "a_b"'),
      "tailscale2otel.toml:4: tailnet.1.name: another tailnet has this name",
    ],
    [
      "the schema of one has too long a name",
      `state.schema = "${"s".repeat(48)}"\n` + section('name = "acme-corporation"'),
      "is longer than the 63 characters that PostgreSQL keeps of a schema's name. Shorten state.schema.",
    ],
    [
      "two have one token",
      section('name = "a"', 'streaming.token = "t"') + section('name = "b"', 'streaming.token = "t"'),
      "tailscale2otel.toml:6: tailnet.1.streaming.token: another tailnet has this token, so it does not say which of them",
    ],
    [
      "one's token is the other's previous one",
      section('name = "a"', 'streaming.token = "u"', 'streaming.token_previous = "t"') +
        section('name = "b"', 'streaming.token = "t"'),
      "tailnet.1.streaming.token: another tailnet has this token",
    ],
    [
      "two have one webhook secret",
      section('name = "a"', 'webhook.secret = "s"') +
        section('name = "b"', 'webhook.secret = "t"', 'webhook.secret_previous = "s"'),
      "tailscale2otel.toml:7: tailnet.1.webhook.secret_previous: another tailnet has this secret",
    ],
    [
      "a setting is unknown",
      section('name = "a"', 'streaming.tokn = "t"'),
      "tailscale2otel.toml:3: tailnet.0.streaming.tokn: unknown setting. Did you mean tailnet.0.streaming.token?",
    ],
    [
      "a setting of all is in a section",
      section('name = "a"', 'streaming.listen = ":1"'),
      "tailnet.0.streaming.listen: this is one setting for all tailnets. Set streaming.listen instead (TS2OTEL_STREAMING__LISTEN).",
    ],
    [
      "a section of all is in a section",
      section('name = "a"', 'state.path = "/srv/acme"'),
      "tailnet.0.state: all tailnets share this section. Move it out of [[tailnet]], to [state].",
    ],
    ["its name is in the plural", '[[tailnets]]\nname = "a"\n', "tailnets: unknown setting. Did you mean [[tailnet]]?"],
    ["the schema of all cannot be a name", 'state.schema = "My-Schema"\n', "Use a-z, 0-9 and _, for example"],
    [
      "the schema of all is PostgreSQL's own",
      'state.schema = "pg_flows"\n',
      "tailscale2otel.toml:1: state.schema: names that begin with pg_ are PostgreSQL's own. Use another one",
    ],
    [
      "a setting is outside of its table",
      section('name = "a"', 'token = "t"'),
      "tailscale2otel.toml:3: tailnet.0.token: unknown setting. In [[tailnet]] there are: name,",
    ],
    [
      "a table is a setting",
      section('name = "a"', 'streaming = "t"'),
      "tailnet.0.streaming: this is a section, not a setting. Write [tailnet.streaming] on a line of its own",
    ],
    ["it is one table", '[tailnet]\nname = "a"\n', "tailnet: this is an array of tables. Write [[tailnet]]"],
    ["it is a text", 'tailnet = "a"\n', "tailnet: this is an array of tables. Write [[tailnet]]"],
    [
      "there are 33",
      Array.from({ length: 33 }, (_, n) => section(`name = "a${n}"`)).join(""),
      "tailnet: there are 33 tables, and at most 32 are allowed",
    ],
    [
      "half of the credentials are missing",
      section('name = "a"', 'tailscale.auth.oauth.client_id = "k"'),
      "tailscale2otel.toml:3: tailnet.0.tailscale.auth.oauth.client_id: it is set, but tailnet.0.tailscale.auth.oauth.client_secret is not",
    ],
  ])("%s", (_, toml, problem) => {
    expect(inspect({ toml }).problems.join("\n")).toContain(problem);
  });

  test.each([
    "tailscale.tailnet=example.com",
    "tailscale.auth.apikey=k",
    "tailscale.auth.oauth.client_id=k",
    "tailscale.auth.oauth.client_secret=k",
    "streaming.token=t",
    "streaming.token_previous=t",
    "webhook.secret=s",
    "webhook.secret_previous=s",
  ])("%s is outside the sections", (assignment) => {
    const key = assignment.replace(/=.*/, "");
    expect(inspect({ toml: both, set: [assignment] }).problems.join("\n")).toContain(
      `--set ${key}: there are [[tailnet]] sections, and this belongs to one tailnet. Set ${key} in the section of that tailnet instead: tailnet.0.${key} is that of the first.`,
    );
  });

  test("privacy drops the name, which alone distinguishes the metrics", () => {
    expect(inspect({ toml: both, set: ["privacy.tailnet_name=drop"] }).problems).toEqual([
      '--set privacy.tailnet_name: it is drop, and only the name tells the metrics of several tailnets apart. Use "hash", or "keep" with names that say nothing.',
    ]);
    expect(inspect({ toml: acme, set: ["privacy.tailnet_name=drop"] }).problems).toEqual([]);
    expect(inspect({ toml: both, set: ["privacy.tailnet_name=hash"] }).problems).toEqual([]);
  });

  test("a section enables what no listener receives", () => {
    const toml = acme + "webhook.enabled = true\n";
    expect(inspect({ toml, set: ["webhook.enabled=false"] }).problems).toEqual([
      "tailscale2otel.toml:6: tailnet.0.webhook.enabled: it is true, but the listener is off: webhook.enabled is false. Set webhook.enabled = true.",
    ]);
  });

  test("variables leave a gap or use a number that is too high", () => {
    expect(inspect({ environment: { TS2OTEL_TAILNET__1__NAME: "a" } }).problems.join("\n")).toContain(
      "tailnet.0.name: the tailnet has no name",
    );
    expect(inspect({ environment: { TS2OTEL_TAILNET__32__NAME: "a" } }).problems.join("\n")).toContain(
      "TS2OTEL_TAILNET__32__NAME: no setting has this variable",
    );
  });

  test("there is nothing to do for any tailnet", () => {
    const { problems } = inspect({ toml: acme, set: ["streaming.enabled=false", "webhook.enabled=false"] });
    expect(problems.join("\n")).toContain("collectors.flowlogs.source");
    const idle = ["collectors.flowlogs.enabled=false", "collectors.auditlogs.enabled=false"];
    const all = inspect({ toml: acme, set: ["streaming.enabled=false", "webhook.enabled=false", ...idle] });
    expect(all.problems.join("\n")).toContain("there is nothing to receive or poll");
  });
});

describe("checks apply to each tailnet, with the keys of its section:", () => {
  const open = '[[tailnet]]\nname = "open"\n';

  test("an empty token is a warning, and an error if one is required", () => {
    const { warnings } = inspect({ toml: acme + open });
    expect(warnings.filter((line) => line.includes("token"))).toEqual([
      "tailnet.1.streaming.token: it is empty and :8088 is not loopback, so anyone who can reach this port can forge records, and they travel over plain HTTP. Set tailnet.1.streaming.token to a long random text, and use the same in Tailscale, or listen on 127.0.0.1; streaming.require_token = true makes this an error.",
    ]);
    expect(inspect({ toml: acme + open, set: ["streaming.require_token=true"] }).problems).toEqual([
      "--set streaming.require_token: a token is required, but tailnet.1.streaming.token is empty. Set tailnet.1.streaming.token or tailnet.1.streaming.token_file, or streaming.require_token = false.",
    ]);
  });

  test("a problem with a shared setting is reported once", () => {
    const { problems } = inspect({ toml: both, set: ["collectors.flowlogs.max_window=1s"] });
    expect(problems).toHaveLength(1);
  });

  test("a shared setting has no effect only if it has none for every tailnet", () => {
    const set = ["collectors.auditlogs.interval=30s", "collectors.flowlogs.interval=30s"];
    expect(inspect({ toml: both, set }).warnings).toEqual([
      'collectors.flowlogs.interval: it has no effect: tailnet.0.collectors.flowlogs.source is "stream", so the log is not polled. Set tailnet.0.collectors.flowlogs.source to "poll" or "both", or remove it.',
    ]);
  });
});

describe("a reload", () => {
  const sources = (toml: string) => sourcesIn(directory, { toml, set: [...shared] });
  const running = inspect({ toml: both }).config;

  test("applies a new token, secret and credentials of a tailnet at once", () => {
    const next = both
      .replace('"token-acme"', '"token-new"\nstreaming.token_previous = "token-acme"')
      .replace("tskey-webhook-globex", "tskey-webhook-new")
      .replace("secret-globex", "secret-new");
    const { config, problems, waiting } = inspectReload(running, sources(next));
    expect({ problems, waiting }).toEqual({ problems: [], waiting: [] });
    expect(config.tailnet.map(({ streaming, webhook }) => [streaming.token, webhook.secret])).toEqual([
      ["token-new", "tskey-webhook-acme"],
      ["token-globex", "tskey-webhook-new"],
    ]);
    expect(config.tailnet[1]?.tailscale.auth.oauth.client_secret).toBe("secret-new");
  });

  test("keeps requiring a token that was removed, and says so", () => {
    const { config, waiting, warnings } = inspectReload(
      running,
      sources(both.replace(/^streaming.token = "token-acme"$/m, "")),
    );
    expect(config.tailnet[0]?.streaming.token).toBe("token-acme");
    expect(waiting).toEqual(["tailnet.0.streaming.token"]);
    expect(warnings.map(({ key, message }) => `${key}: ${message}`)).toContain(
      "tailnet.0.streaming.token: it was removed, but the listener keeps requiring the token in force until a restart",
    );
  });

  test("reports an added, removed or renamed tailnet once, as waiting for a restart", () => {
    const initech =
      '\n[[tailnet]]\nname = "initech"\nstreaming.token = "token-3"\nwebhook.secret = "tskey-webhook-3"\n';
    const added = inspectReload(running, sources(both + initech));
    expect([added.waiting, added.config.tailnet.length]).toEqual([["tailnet.2.name"], 2]);
    const removed = inspectReload(running, sources(acme));
    expect([removed.waiting, removed.config.tailnet.length, removed.warnings]).toEqual([["tailnet.1.name"], 2, []]);
    const renamed = inspectReload(running, sources(both.replace('"acme"', '"acme-2"').replace("token-acme", "other")));
    expect([renamed.waiting, renamed.config.tailnet[0]?.streaming.token]).toEqual([["tailnet.0.name"], "token-acme"]);
    const [, before] = running.tailnet;
    const replaced = inspectReload(running, sources(acme + globex.replaceAll(/globex"/g, 'initech"')));
    expect(replaced).toMatchObject({ problems: [], waiting: ["tailnet.1.name"] });
    expect(replaced.config.tailnet[1]).toEqual(before as NonNullable<typeof before>);
  });

  test("reports a shared setting once, not for each tailnet", () => {
    const { waiting } = inspectReload(running, {
      ...sources(both),
      assignments: [...shared, "collectors.flowlogs.enabled=false"],
    });
    expect(waiting).toEqual(["collectors.flowlogs.enabled"]);
  });
});

test("two tailnets with the same credentials get a warning, unless they name different tailnets", () => {
  const section = (name: string, tailnet: string) =>
    `[[tailnet]]\nname = "${name}"\nstreaming.token = "token-${name}"\nwebhook.secret = "tskey-webhook-${name}"\ntailscale.tailnet = "${tailnet}"\ntailscale.auth.oauth.client_id = "kSame"\ntailscale.auth.oauth.client_secret = "secret"\n`;
  const warned = (toml: string) =>
    inspect({ toml }).warnings.filter((text) => text.includes("another tailnet has these credentials"));
  expect(warned(section("acme", "-") + section("globex", "-"))).toEqual([
    "tailnet.1.tailscale.auth: another tailnet has these credentials, so both read the logs and devices of the same tailnet. Give each tailnet credentials of its own.",
  ]);
  expect(warned(section("acme", "a.example.com") + section("globex", "b.example.com"))).toEqual([]);
});
