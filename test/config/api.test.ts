/** The settings of Tailscale's API: which values are refused, get a warning, or have no effect. */
import { describe, expect, test } from "bun:test";
import { hasCredentials, isPolled, readsDevices, subscriptionsOf, subscriptionTypes } from "../../src/config/index.ts";
import { collectedLogs } from "../../src/config/schema.ts";
import { mergeReload } from "../../src/config/reload.ts";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const client = {
  TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: "k1CNTRL",
  TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: "tskey-client-s3cr3t",
};
const apiKey = { TS2OTEL_TAILSCALE__AUTH__APIKEY: "tskey-api-s3cr3t" };
const backend = "otlp.endpoint=http://192.0.2.1:4318";
const keyOf = (line: string): string => line.slice(0, line.indexOf(":"));

/** Inspects the receiver with both logs streamed, and an OAuth client. */
function inspect(set: readonly string[], environment: Record<string, string> = client) {
  return inspectIn(directory, {
    set: [...soundSettings, ...set],
    environment: { ...soundEnvironment, ...environment },
  });
}

/** Inspects only the given settings, and a backend. */
function inspectAlone(set: readonly string[], environment: Record<string, string>) {
  return inspectIn(directory, { set: [backend, ...set], environment });
}

test("has the documented defaults, in milliseconds", () => {
  const { config } = inspect([]);
  expect(config.tailscale).toMatchObject({
    base_url: "https://api.tailscale.com",
    auth: { apikey: "", oauth: { scopes: [] } },
    http: { timeout: 30_000, max_attempts: 4, rate_limit: 0 },
  });
  expect(config.collectors).toMatchObject({
    flowlogs: {
      interval: 60_000,
      lag: 120_000,
      initial_lookback: 300_000,
      max_window: 3_600_000,
      replay_overlap: 300_000,
    },
    auditlogs: {
      interval: 60_000,
      lag: 60_000,
      initial_lookback: 300_000,
      max_window: 21_600_000,
      replay_overlap: 300_000,
    },
    devices: { enabled: true, interval: 300_000 },
  });
  expect(config.streaming).toMatchObject({ public_url: "", auto_configure: false });
  expect(config.webhook).toMatchObject({ public_url: "", auto_configure: false, subscriptions: ["all"] });
});

describe("credentials", () => {
  test("are enough to run, and both logs are polled", () => {
    const { config, problems, warnings } = inspectAlone([], client);
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    expect(collectedLogs.filter((log) => isPolled(config, log))).toEqual(["flowlogs", "auditlogs"]);
    expect(hasCredentials(config)).toBe(true);
    expect(readsDevices(config)).toBe(true);
  });

  test("are not enough if nothing is polled", () => {
    const off = ["collectors.flowlogs.enabled=false", "collectors.auditlogs.enabled=false"];
    const { problems } = inspectAlone(off, client);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("there is nothing to receive or poll");
  });

  test("are the first thing to set if nothing is configured", () => {
    const { problems } = inspectAlone([], {});
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(
      "Run tailscale2otel init, which writes a configuration. Or set tailscale.auth.oauth.client_id and client_secret (to poll), or streaming.enabled = true",
    );
  });

  test("are an error if only one half is set", () => {
    const [id, secret] = Object.keys(client) as [keyof typeof client, keyof typeof client];
    expect(inspectAlone([], { ...apiKey, [id]: client[id] }).problems).toEqual([
      `${id}: tailscale.auth.oauth.client_id: it is set, but tailscale.auth.oauth.client_secret is not. Set tailscale.auth.oauth.client_secret too, or remove tailscale.auth.oauth.client_id.`,
    ]);
    const { problems } = inspectAlone([], { ...apiKey, [secret]: client[secret] });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(
      "tailscale.auth.oauth.client_secret: it is set, but tailscale.auth.oauth.client_id is not",
    );
    expect(problems.join()).not.toContain("s3cr3t");
  });

  test("get a warning if they are an API key", () => {
    const { problems, warnings } = inspectAlone([], apiKey);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      "tailscale.auth.apikey: an API key expires after at most 90 days and has all permissions of the person who created it. Use an OAuth client: set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret.",
    ]);
  });

  test("of both kinds get a warning, and the OAuth client wins", () => {
    const { warnings } = inspectAlone([], { ...apiKey, ...client });
    expect(warnings).toEqual([
      "tailscale.auth.apikey: it has no effect: tailscale.auth.oauth is set and wins. Remove one of them.",
    ]);
  });

  test("change without a restart, unless there were none", () => {
    const before = inspectAlone([], client).config;
    const after = inspectAlone(["collectors.flowlogs.interval=30s", "tailscale.http.timeout=9s"], apiKey).config;
    expect(mergeReload(before, after).waiting).toEqual(["tailscale.http.timeout", "collectors.flowlogs.interval"]);
    const without = inspect([], {}).config;
    expect(mergeReload(without, inspect([], apiKey).config).waiting).toEqual(["tailscale.auth.apikey"]);
  });
});

describe("a polled log without credentials", () => {
  test.each(["poll", "both"])("is a warning if the receiver runs (%s)", (source) => {
    expect(inspect([`collectors.flowlogs.source=${source}`], {}).warnings).toEqual([
      `collectors.flowlogs.source: it is "${source}", but there are no API credentials, so flow logs arrive only through the receiver. Set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret, or collectors.flowlogs.source = "stream".`,
    ]);
  });

  test("is a warning if only webhooks arrive", () => {
    const set = ["webhook.enabled=true", "collectors.flowlogs.enabled=false"];
    const { problems, warnings } = inspectAlone(set, { TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-x" });
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      'collectors.auditlogs.source: it is "poll", but there are no API credentials, so audit logs do not arrive at all. Set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret, or collectors.auditlogs.enabled = false.',
    ]);
  });
});

describe("a log that arrives both ways", () => {
  test('gets no warning with "both", which is explicit', () => {
    expect(inspect(["collectors.auditlogs.source=both"]).warnings).toEqual([]);
  });

  test('gets a warning with "poll", which works like "both"', () => {
    expect(inspect(["collectors.flowlogs.source=poll"]).warnings).toEqual([
      'collectors.flowlogs.source: it is "poll" and streaming.enabled is true, so flow logs arrive both ways, and each record counts once. Set collectors.flowlogs.source = "both" if that is meant, which repairs gaps in the stream, or "stream" to stop polling.',
    ]);
  });

  test("gets no warning if the collector is off", () => {
    const { config, warnings } = inspectIn(directory, {
      set: soundSettings.filter((set) => !set.startsWith("collectors.")),
      toml: "[collectors]\nflowlogs.enabled = false\nauditlogs.enabled = false\n",
      environment: { ...soundEnvironment, ...client },
    });
    expect(warnings).toEqual([]);
    expect(collectedLogs.some((log) => isPolled(config, log))).toBe(false);
  });
});

describe("the address of the API", () => {
  test.each([
    ["http://127.0.0.1:8080", []],
    ["http://[::1]:8080", []],
    ["https://api.example.com", []],
    ["http://api.example.com", ["tailscale.base_url"]],
    ["http://192.0.2.1", ["tailscale.base_url"]],
  ])("%s: only plain HTTP gets a warning", (address, keys) => {
    const { problems, warnings } = inspectAlone([`tailscale.base_url=${address}`], client);
    expect(problems).toEqual([]);
    expect(warnings.map(keyOf)).toEqual(keys);
  });

  test.each(["https://user:s3cr3t@api.example.com", "https://api.example.com/api/v2", "https://api.example.com/?a=b"])(
    "%s is refused",
    (address) => {
      const { problems } = inspectAlone([`tailscale.base_url=${address}`], client);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain("only scheme, host and port are allowed");
      expect(problems[0]).not.toContain("s3cr3t");
    },
  );

  test("cannot be empty", () => {
    const { problems } = inspectIn(directory, { toml: "[tailscale]\nbase_url = ''\n", environment: client });
    expect(problems[0]).toContain("tailscale.base_url: only scheme, host and port are allowed");
  });
});

test("refuses a window that is not longer than its overlap", () => {
  const { problems } = inspectAlone(["collectors.flowlogs.max_window=5m"], client);
  expect(problems).toEqual([
    "--set collectors.flowlogs.max_window: ranges of 5m that overlap by 5m never advance. Set collectors.flowlogs.max_window above collectors.flowlogs.replay_overlap.",
  ]);
  expect(
    inspectAlone(["collectors.flowlogs.max_window=5m", "collectors.flowlogs.replay_overlap=4m"], client),
  ).toMatchObject({ problems: [] });
});

describe("a public URL", () => {
  const good = [
    "https://logs.example.com/services/collector/event",
    "https://logs.example.com:8443/x",
    "https://[fd7a:115c:a1e0::1]/x",
    "https://192.0.2.1/x",
    // The tailnet encrypts these.
    "http://[fd7a:115c:a1e0::1]:8088/x",
    "http://node.tail1234.ts.net:8088/x",
    "http://node.tail1234.ts.net./x",
  ];
  test.each(good)("%s is accepted", (address) => {
    expect(inspect([`streaming.public_url=${address}`])).toMatchObject({ problems: [], warnings: [] });
  });

  const plain = ["http://[fd00::1]:8088/x", "http://node:8088/x", "http://node.internal/x"];
  test.each(plain)("%s is accepted, with a warning about plain HTTP", (address) => {
    const { problems, warnings } = inspect([`streaming.public_url=${address}`]);
    expect(problems).toEqual([]);
    expect(warnings.map(keyOf)).toEqual(["streaming.public_url"]);
    expect(warnings[0]).toContain("plain HTTP");
  });

  const bad: readonly [address: string, reason: string][] = [
    ["http://logs.example.com/x", "plain HTTP is possible only for private names"],
    ["http://192.0.2.1/x", "plain HTTP is possible only for private names"],
    ["http://3221225985/x", "plain HTTP is possible only for private names"],
    ["http://100.64.0.1/x", "private IPv4"],
    ["https://192.168.1.1/x", "private IPv4"],
    ["https:///x", "invalid URL"],
    ["https:logs.example.com", "invalid URL"],
    ["http://[::ffff:192.0.2.1]/x", "IPv4"],
    ["https://user:s3cr3t@logs.example.com/x", "a user or a password"],
    ["https://logs.example.com/x#y", "fragment"],
    ["ftp://logs.example.com/x", "invalid URL"],
    ["logs.example.com/x", "invalid URL"],
  ];
  test.each(bad)("%s is refused", (address, reason) => {
    for (const receiver of ["streaming", "webhook"]) {
      const { problems } = inspect(["webhook.enabled=true", `${receiver}.public_url=${address}`]);
      expect(problems).toHaveLength(1);
      const isPlain = receiver === "webhook" && reason.startsWith("plain HTTP");
      expect(problems[0]).toContain(isPlain ? "public https addresses only" : reason);
      expect(problems[0]).not.toContain("s3cr3t");
    }
  });

  test.each([
    "https://node.tail1234.ts.net/tailscale/webhook",
    "https://hooks.example.com:443/x",
    "https://[2001:db8::1]/",
  ])("%s is accepted for webhooks, also through Tailscale Funnel", (address) => {
    expect(inspect(["webhook.enabled=true", `webhook.public_url=${address}`]).problems).toEqual([]);
  });

  test("with a query is accepted, with a warning", () => {
    const { problems, warnings } = inspect(["streaming.public_url=https://logs.example.com/x?k=s3cr3t"]);
    expect(problems).toEqual([]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("it has a query");
    expect(warnings[0]).not.toContain("s3cr3t");
  });
});

describe("auto_configure", () => {
  const address = "public_url=https://logs.example.com/x";

  test("is accepted with everything it needs", () => {
    expect(inspect(["streaming.auto_configure=true", `streaming.${address}`])).toMatchObject({
      problems: [],
      warnings: [],
    });
    const webhook = ["webhook.enabled=true", "webhook.auto_configure=true", `webhook.${address}`];
    expect(inspect([...webhook, "webhook.require_secret=true"])).toMatchObject({ problems: [], warnings: [] });
  });

  test("of the webhook is refused for instances that share a database unless its secret is set", () => {
    const set = ["webhook.enabled=true", "webhook.auto_configure=true", `webhook.${address}`];
    const environment = { ...client, TS2OTEL_STATE__URL: "postgres://me@localhost/flows" };
    expect(inspect(set, environment).problems).toEqual([
      "--set webhook.auto_configure: it keeps the secret with one instance, and all that share the database of state.url need the same. Set webhook.auto_configure = false, run tailscale2otel tailnet webhook create, and set webhook.secret of every instance to what it prints.",
    ]);
    expect(inspect(set, { ...environment, TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-x" }).problems).toEqual([]);
  });

  test.each([
    ["streaming", "streaming.public_url", ["streaming.auto_configure=true"], client],
    [
      "streaming",
      "API credentials (tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret)",
      ["streaming.auto_configure=true", `streaming.${address}`],
      {},
    ],
    [
      "streaming",
      "streaming.token",
      ["streaming.auto_configure=true", `streaming.${address}`],
      { ...client, TS2OTEL_STREAMING__TOKEN: "" },
    ],
    ["webhook", "webhook.enabled = true", ["webhook.auto_configure=true", `webhook.${address}`], client],
  ])("of %s says that %s is missing", (receiver, missing, set, environment) => {
    expect(inspect(set, environment).problems).toEqual([
      `--set ${receiver}.auto_configure: it also needs ${missing}. Set what is missing, or ${receiver}.auto_configure = false.`,
    ]);
  });

  test("names everything that is missing", () => {
    const { problems } = inspect(["webhook.auto_configure=true"], {});
    expect(problems[0]).toContain("webhook.enabled = true, webhook.public_url and API credentials (");
  });
});

describe("subscriptions", () => {
  test("default to all types", () => {
    expect(subscriptionsOf(["all"])).toEqual(subscriptionTypes);
    expect(subscriptionsOf([])).toEqual(subscriptionTypes);
    expect(subscriptionsOf(["nodeCreated", "nodeCreated", "all"])).toEqual(subscriptionTypes);
  });

  test("are the named types, each once", () => {
    expect(subscriptionsOf(["nodeCreated", "policyUpdate", "nodeCreated"])).toEqual(["nodeCreated", "policyUpdate"]);
  });

  test("that resemble no type are named, and left out of the example", () => {
    const { problems } = inspect(["webhook.subscriptions=all,foo"]);
    expect(problems[0]).toContain('invalid list: unknown item "foo". Use ');
    expect(problems[0]).toEndWith("for example --set webhook.subscriptions=all.");
  });

  test("that do not exist are refused, with the nearest existing ones", () => {
    const { problems } = inspect(["webhook.subscriptions=nodeCreate,policyUpdate"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('invalid list: unknown item "nodeCreate". Use a list of "all", "nodeCreated"');
    expect(problems[0]).toEndWith("for example --set webhook.subscriptions=nodeCreated,policyUpdate.");
  });
});

describe("settings without effect", () => {
  const idle: readonly [set: readonly string[], environment: Record<string, string>, key: string, reason: string][] = [
    [["collectors.flowlogs.lag=1m"], client, "collectors.flowlogs.lag", '"stream", so the log is not polled'],
    [
      ["collectors.auditlogs.enabled=false", "collectors.auditlogs.source=poll", "collectors.auditlogs.interval=5s"],
      client,
      "collectors.auditlogs.interval",
      "collectors.auditlogs.enabled is false",
    ],
    [["collectors.devices.interval=1m"], {}, "collectors.devices.interval", "there are no API credentials"],
    [
      ["collectors.devices.enabled=false", "collectors.devices.interval=1m"],
      client,
      "collectors.devices.interval",
      "collectors.devices.enabled is false",
    ],
    [["tailscale.http.timeout=1s"], {}, "tailscale.http.timeout", "there are no API credentials"],
    [["tailscale.base_url=https://api.example.com"], {}, "tailscale.base_url", "there are no API credentials"],
    [["tailscale.auth.oauth.scopes=all:read"], apiKey, "tailscale.auth.oauth.scopes", "scopes are for an OAuth client"],
  ];

  test.each(idle)("%j", (set, environment, key, reason) => {
    const found = inspect(set, environment).warnings.filter((warning) => warning.includes("has no effect"));
    expect(found.map(keyOf)).toEqual([key]);
    expect(found[0]).toContain(reason);
  });
});
