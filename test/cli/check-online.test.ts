/** `check --online` with a stand-in for Tailscale and a real backend: every missing scope and wrong setting has a name and a remedy. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { createAuthority } from "../support/certificates.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { startTailscaled } from "../support/tailscaled.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { configAt, openStore } from "../support/store.ts";

const directory = temporaryDirectory();
const publicUrl = "https://logs.example.com/services/collector/event";

let tailnet: Tailnet;
let sink: OtlpSink;

beforeAll(async () => {
  sink = await startOtlpSink();
});
afterAll(() => sink.stop());

beforeEach(async () => {
  tailnet = await startTailnet();
});
afterEach(() => tailnet.stop());

interface Row {
  readonly subject: string;
  readonly outcome: string;
  readonly detail: string;
  readonly remedy?: string;
}

/** Settings that poll both logs and read the devices, plus `environment`. */
function settings(environment: Record<string, string>): Record<string, string> {
  return {
    TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: tailnet.oauth.clientId,
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: tailnet.oauth.clientSecret,
    TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
    TS2OTEL_OTLP__ENDPOINT: sink.url,
    TS2OTEL_STATE__PATH: join(directory, "nothing-there"),
    ...environment,
  };
}

async function check(environment: Record<string, string> = {}): Promise<{ code: number | null; rows: readonly Row[] }> {
  const { code, stdout, stderr } = await runToEnd(directory, ["check", "--online", "--json"], settings(environment));
  expect(stderr).toBe("");
  expect(stdout).not.toContain(tailnet.oauth.clientSecret);
  return { code, rows: (JSON.parse(stdout) as { online: readonly Row[] }).online };
}

/** The failures and warnings, by subject. */
function troubles(rows: readonly Row[]): Record<string, Row> {
  const bad = rows.filter(({ outcome }) => outcome === "failed" || outcome === "warning");
  return Object.fromEntries(bad.map((row) => [row.subject, row]));
}

async function putStream(log: "network" | "configuration", url: string): Promise<void> {
  const response = await fetch(`${tailnet.url}/api/v2/tailnet/-/logging/${log}/stream`, {
    method: "PUT",
    headers: { authorization: `Bearer ${tailnet.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ destinationType: "splunk", url, user: "u", token: "t", compressionFormat: "zstd" }),
  });
  expect(response.status).toBe(200);
}

const streaming = {
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__TOKEN: "a-token",
  TS2OTEL_STREAMING__PUBLIC_URL: publicUrl,
  TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
  TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
};

const automatic = {
  ...streaming,
  TS2OTEL_STREAMING__AUTO_CONFIGURE: "true",
  TS2OTEL_WEBHOOK__ENABLED: "true",
  TS2OTEL_WEBHOOK__PUBLIC_URL: "https://hooks.example.com",
  TS2OTEL_WEBHOOK__AUTO_CONFIGURE: "true",
};

test('says "ok" on every line if all is well, writes nothing, and exits with 0', async () => {
  const { code, stdout } = await runToEnd(directory, ["check", "--online"], settings({}));
  const lines = stdout
    .slice(stdout.indexOf(" 0 warnings\n") + " 0 warnings\n".length)
    .trim()
    .split("\n");
  expect(stdout).toStartWith("tailscale.base_url ");
  expect(stdout).not.toContain("log_level");
  expect(lines).toEqual([
    `ok       OAuth client  accepted by ${tailnet.url}`,
    "ok       flow logs     readable",
    "ok       audit logs    readable",
    "ok       devices       readable",
    expect.stringMatching(/^ok {7}clock {9}agrees with the API's to within \d+ s$/),
    `ok       OTLP metrics  ${sink.url}/v1/metrics accepts an empty export`,
    `ok       OTLP logs     ${sink.url}/v1/logs accepts an empty export`,
    `ok       journal       will be created in ${join(directory, "nothing-there")}`,
    "online: 8 ok",
  ]);
  expect(code).toBe(0);
  expect(new Set(tailnet.requests.map(({ method, path }) => (path.endsWith("/token") ? "token" : method)))).toEqual(
    new Set(["token", "GET"]),
  );
});

test("prints a remedy below its failure, or below the last of several failures that share it", async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const { code, stdout } = await runToEnd(
    directory,
    ["check", "--online"],
    settings({ TS2OTEL_OTLP__ENDPOINT: endpoint }),
  );
  const { index } = /^failed/m.exec(stdout) ?? {};
  expect(stdout.slice(index).split("\n").slice(0, 3)).toEqual([
    `failed   OTLP metrics  ${endpoint}/v1/metrics: connection refused by ${new URL(endpoint).host}`,
    `failed   OTLP logs     ${endpoint}/v1/logs: connection refused by ${new URL(endpoint).host}`,
    expect.stringMatching(/^ {23}Check otlp\.endpoint/),
  ]);
  expect(code).toBe(1);
});

test("does not try an invalid configuration", async () => {
  const { code, stdout } = await runToEnd(
    directory,
    ["check", "--online"],
    settings({ TS2OTEL_OTLP__TIMEOUT: "soon" }),
  );
  expect(code).toBe(78);
  expect(stdout).toEndWith("not valid, 1 problem, 0 warnings\n");
  expect(tailnet.requests).toEqual([]);
});

describe("a missing scope", () => {
  test("is named for everything that is read, with a remedy each", async () => {
    tailnet.grant(["users:read"]);
    const { code, rows } = await check();
    const found = troubles(rows);
    expect(Object.keys(found)).toEqual(["flow logs", "audit logs", "devices"]);
    for (const [subject, scope, without] of [
      ["flow logs", "logs:network:read", "collectors.flowlogs.enabled = false"],
      ["audit logs", "logs:configuration:read", "collectors.auditlogs.enabled = false"],
      ["devices", "devices:core:read", "collectors.devices.enabled = false"],
    ] as const) {
      expect(found[subject]).toMatchObject({ outcome: "failed", detail: `the scope ${scope} is missing` });
      expect(found[subject]?.remedy).toContain(scope);
      expect(found[subject]?.remedy).toEndWith(`Or set ${without}.`);
    }
    expect(code).toBe(1);
  });

  test("is not required if nothing needs it", async () => {
    tailnet.grant(["logs:network:read"]);
    const { code, rows } = await check({
      TS2OTEL_COLLECTORS__AUDITLOGS__ENABLED: "false",
      TS2OTEL_COLLECTORS__DEVICES__ENABLED: "false",
    });
    expect(troubles(rows)).toEqual({});
    expect(code).toBe(0);
  });

  test("is named for auto_configure, reading and writing", async () => {
    tailnet.grant(["devices:core:read"]);
    const { code, rows } = await check(automatic);
    const details = rows.filter(({ outcome }) => outcome === "failed").map(({ subject, detail }) => [subject, detail]);
    expect(details).toEqual([
      ["flow log stream", "the scope log_streaming is missing"],
      ["audit log stream", "the scope log_streaming is missing"],
      ["webhook", "the scope webhooks is missing"],
      ["streaming.auto_configure", "the scope log_streaming is missing"],
      ["webhook.auto_configure", "the scope webhooks is missing"],
    ]);
    expect(code).toBe(1);
  });

  test("is named if reading is allowed but writing is not", async () => {
    tailnet.grant(["devices:core:read", "log_streaming:read", "webhooks:read"]);
    const { rows } = await check(automatic);
    expect(Object.keys(troubles(rows))).toEqual(["streaming.auto_configure", "webhook.auto_configure"]);
  });

  test("is named for a private endpoint, which needs more scopes", async () => {
    tailnet.grant(["devices:core:read", "log_streaming"]);
    const { rows } = await check({
      ...streaming,
      TS2OTEL_STREAMING__PUBLIC_URL: "http://node.tail1234.ts.net:8088/services/collector/event",
      TS2OTEL_STREAMING__AUTO_CONFIGURE: "true",
    });
    const missing = rows.filter(({ outcome }) => outcome === "failed").map(({ detail }) => detail);
    expect(missing).toEqual(["the scope device_invites is missing", "the scope policy_file is missing"]);
  });

  test("is named if tailscale.auth.oauth.scopes asks for it", async () => {
    tailnet.grant(["logs:network:read"]);
    const { code, rows } = await check({
      TS2OTEL_TAILSCALE__AUTH__OAUTH__SCOPES: "logs:network:read,logs:configuration:read,devices:core:read",
    });
    expect(Object.keys(troubles(rows))).toEqual(["OAuth client", "logs:configuration:read", "devices:core:read"]);
    expect(troubles(rows)["devices:core:read"]).toMatchObject({
      detail: "tailscale.auth.oauth.scopes asks for devices:core:read, which the client may not have",
      remedy: expect.stringContaining("Give the OAuth client the scope devices:core:read"),
    });
    expect(code).toBe(1);
  });

  test("is named if tailscale.auth.oauth.scopes leaves it out", async () => {
    const { rows } = await check({ ...automatic, TS2OTEL_TAILSCALE__AUTH__OAUTH__SCOPES: "devices:core:read" });
    expect(troubles(rows)["streaming.auto_configure"]?.detail).toBe("the scope log_streaming is missing");
    expect(troubles(rows)["webhook.auto_configure"]?.remedy).toContain("tailscale.auth.oauth.scopes");
  });
});

describe("a wrong setting is named, with its remedy:", () => {
  test("the secret", async () => {
    const { code, rows } = await check({ TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: "tskey-client-wrong" });
    expect(Object.keys(troubles(rows))).toEqual(["OAuth client"]);
    expect(rows[0]?.remedy).toContain("tailscale.auth.oauth.client_id");
    expect(code).toBe(1);
  });

  test("an API key", async () => {
    const key = {
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: "",
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: "",
    };
    const good = await check({ ...key, TS2OTEL_TAILSCALE__AUTH__APIKEY: tailnet.apiKey });
    expect(good.rows[0]).toMatchObject({ subject: "API key", outcome: "ok" });
    const bad = await check({ ...key, TS2OTEL_TAILSCALE__AUTH__APIKEY: "tskey-api-wrong" });
    expect(bad.rows[0]).toMatchObject({ subject: "API key", outcome: "failed" });
    expect(bad.rows[0]?.remedy).toContain("tailscale.auth.apikey");
    expect(bad.code).toBe(1);
  });

  test("the tailnet", async () => {
    const { code, rows } = await check({ TS2OTEL_TAILSCALE__TAILNET: "example.org" });
    expect(Object.keys(troubles(rows))).toEqual(["flow logs", "audit logs", "devices"]);
    expect(rows[1]).toMatchObject({ detail: 'there is no tailnet "example.org" for these credentials' });
    expect(rows[1]?.remedy).toContain("tailscale.tailnet");
    expect(code).toBe(1);
  });

  test("the address of the API, if nothing or something else answers there", async () => {
    const gone = await startTailnet();
    await gone.stop();
    const page = createServer((_, response) => response.end("<html>Welcome</html>"));
    await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
    for (const address of [gone.url, `http://127.0.0.1:${(page.address() as AddressInfo).port}`]) {
      const { code, rows } = await check({ TS2OTEL_TAILSCALE__BASE_URL: address });
      expect(rows[0]).toMatchObject({ subject: "OAuth client", outcome: "failed" });
      expect(rows[0]?.remedy).toContain(
        `Check tailscale.base_url (${address}; the public API is https://api.tailscale.com)`,
      );
      expect(code).toBe(1);
    }
    page.close();
  });

  test("the route to the public API, if there is none", async () => {
    const { rows } = await check({
      TS2OTEL_TAILSCALE__BASE_URL: "https://api.tailscale.com",
      HTTPS_PROXY: `http://127.0.0.1:${await freePort()}`,
    });
    expect(rows[0]?.remedy).toStartWith("Check whether this machine reaches https://api.tailscale.com: DNS,");
  });

  test("a plan without flow logs", async () => {
    tailnet.lack(["flow logs"]);
    const { code, rows } = await check();
    expect(Object.keys(troubles(rows))).toEqual(["flow logs"]);
    expect(troubles(rows)["flow logs"]?.detail).toContain("not enabled");
    expect(troubles(rows)["flow logs"]?.remedy).toContain("collectors.flowlogs.enabled = false");
    expect(code).toBe(1);
  });

  test("the destination of a log stream", async () => {
    await putStream("network", publicUrl);
    await putStream("configuration", "https://other.example.com/services/collector/event");
    const { code, rows } = await check(streaming);
    expect(rows.find(({ subject }) => subject === "flow log stream")).toMatchObject({
      outcome: "ok",
      detail: `Tailscale sends to ${publicUrl}`,
    });
    expect(troubles(rows)["audit log stream"]).toMatchObject({
      outcome: "failed",
      detail: `Tailscale sends to splunk at https://other.example.com/services/collector/event, not to ${publicUrl}`,
      remedy: expect.stringContaining("streaming.public_url"),
    });
    expect(code).toBe(1);
  });

  test("a log stream that is not set", async () => {
    const alone = await check(streaming);
    expect(troubles(alone.rows)["flow log stream"]).toMatchObject({
      outcome: "failed",
      detail: "Tailscale does not stream this log",
      remedy: expect.stringContaining("streaming.auto_configure = true"),
    });
    const configured = await check(automatic);
    expect(troubles(configured.rows)).toEqual({});
    expect(configured.code).toBe(0);
  });

  test("a clock that is off", async () => {
    tailnet.clockAheadMs = 95_000;
    const { code, rows } = await check();
    expect(troubles(rows)["clock"]).toMatchObject({
      outcome: "warning",
      detail: expect.stringMatching(/^this machine's clock is \d+ s behind the API's$/),
      remedy: expect.stringContaining("NTP"),
    });
    expect(code).toBe(0);
  });
});

test("tries the rest without asking the API if there are no credentials", async () => {
  const { code, rows } = await check({
    ...streaming,
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: "",
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: "",
  });
  expect(rows.map(({ subject, outcome }) => `${subject} ${outcome}`)).toEqual([
    "Tailscale API skipped",
    "OTLP metrics ok",
    "OTLP logs ok",
    "journal ok",
  ]);
  expect(tailnet.requests).toEqual([]);
  expect(code).toBe(0);
});

test("warns that a webhook whose secret is not known here will be rotated", async () => {
  const response = await fetch(`${tailnet.url}/api/v2/tailnet/-/webhooks`, {
    method: "POST",
    headers: { authorization: `Bearer ${tailnet.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      endpointUrl: "https://hooks.example.com/tailscale/webhook",
      subscriptions: ["nodeCreated"],
    }),
  });
  const { endpointId } = (await response.json()) as { endpointId: string };
  const { rows } = await check(automatic);
  expect(rows.find(({ subject }) => subject === "webhook")).toMatchObject({
    outcome: "warning",
    detail: `webhook ${endpointId} for https://hooks.example.com/tailscale/webhook exists, but its secret is not known here: the next start rotates it`,
  });
});

describe("a backend", () => {
  afterEach(() => sink.behave(() => ({ kind: "take" })));

  const answers: readonly [name: string, status: number, body: string, said: string, remedy: string][] = [
    ["refuses the credentials", 401, "no such token", "HTTP 401: no such token", "otlp.headers"],
    ["has no such path", 404, "", "HTTP 404", "/v1/logs is appended to it"],
    ["answers with a web page", 200, "<html>", "200 with a web page", "Check the path of otlp.endpoint"],
    ["is too busy", 503, "", "HTTP 503", "try again later"],
  ];

  test.each(answers)("that %s", async (_, status, body, said, remedy) => {
    sink.behave(({ path }) => (path === "/v1/logs" ? { kind: "status", status, body } : { kind: "take" }));
    const { code, rows } = await check();
    const found = troubles(rows);
    expect(Object.keys(found)).toEqual(["OTLP logs"]);
    expect(found["OTLP logs"]?.detail).toContain(said);
    expect(found["OTLP logs"]?.remedy).toContain(remedy);
    expect(code).toBe(1);
  });

  test("that is not there", async () => {
    const gone = await startOtlpSink();
    await gone.stop();
    const { code, rows } = await check({ TS2OTEL_OTLP__LOGS__ENDPOINT: `${gone.url}/logs` });
    expect(troubles(rows)["OTLP logs"]?.remedy).toContain("Check otlp.logs.endpoint");
    expect(code).toBe(1);
  });

  test("that does not use TLS gets a remedy with the other scheme", async () => {
    const { rows } = await check({ TS2OTEL_OTLP__ENDPOINT: sink.url.replace("http:", "https:") });
    expect(troubles(rows)["OTLP logs"]?.remedy).toStartWith(
      "If the backend does not use TLS, use http:// in otlp.endpoint. Otherwise set otlp.tls.ca_file ",
    );
  });

  test("that may use TLS on an http:// address gets a remedy with the other scheme", async () => {
    const closing = createTcpServer((socket) => socket.once("data", () => socket.end()));
    await new Promise<void>((resolve) => closing.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(closing.address() as AddressInfo).port}`;
    const { rows } = await check({ TS2OTEL_OTLP__ENDPOINT: url });
    closing.close();
    expect(troubles(rows)["OTLP logs"]?.remedy).toBe(
      "If the backend expects TLS on this port, use https:// in otlp.endpoint. Otherwise check whether it is running.",
    );
  });

  test("gets the protocol and headers that run would send, and never another protocol", async () => {
    sink.behave(() => ({ kind: "refuse_json" }));
    const before = sink.requests.length;
    const { rows } = await check({ TS2OTEL_OTLP__HEADERS__X_SCOPE: "team", TS2OTEL_OTLP__PROTOCOL: "http/protobuf" });
    expect(troubles(rows)).toEqual({});
    const seen = sink.requests.slice(before);
    expect(new Set(seen.map(({ headers }) => headers["x-scope"]))).toEqual(new Set(["team"]));
    expect(seen.flatMap(({ logs, points }) => [...logs, ...points])).toEqual([]);
    const json = await check({ TS2OTEL_OTLP__PROTOCOL: "http/json" });
    expect(troubles(json.rows)["OTLP logs"]?.remedy).toContain('try otlp.protocol = "http/protobuf"');
    const types = new Set(sink.requests.slice(before + seen.length).map(({ headers }) => headers["content-type"]));
    expect(types).toEqual(new Set(["application/json"]));
  });

  test("that redirects gets a remedy that says to set the new address", async () => {
    sink.behave(({ path }) => (path === "/v1/logs" ? { kind: "status", status: 308, body: "" } : { kind: "take" }));
    const { code, rows } = await check();
    expect(troubles(rows)["OTLP logs"]).toMatchObject({ detail: expect.stringContaining("HTTP 308") });
    expect(troubles(rows)["OTLP logs"]?.remedy).toBe("Set otlp.endpoint to the address that it redirects to.");
    expect(code).toBe(1);
  });
});

/** A certificate of January 2020, because openssl does not issue expired ones. */
const expired = `-----BEGIN CERTIFICATE-----
MIIBBDCBqgIBATAKBggqhkjOPQQDAjAOMQwwCgYDVQQDDANvbGQwHhcNMjAwMTAx
MDAwMDAwWhcNMjAwMjAxMDAwMDAwWjAOMQwwCgYDVQQDDANvbGQwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAAQo/7gchEA7pFcF8Tc4xixAMwQnRPaOXrMVc2CudDQY
IVF4Ys0odhKUdaTapUIc3rRSbhgqhYUlnTnsW0LpB0B1MAoGCCqGSM49BAMCA0kA
MEYCIQCr2l/NoJmTChecOspiVHlkzkYL9SJflJeoHYdinAMA/wIhAN3GBLtj0NoB
XLGcMnHpspeNx8vGxm8/+jSUqSEKqRIG
-----END CERTIFICATE-----
`;

describe("certificates", () => {
  function withTls(certificate: string, key: string): Record<string, string> {
    const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
    writeFileSync(files.cert, certificate);
    writeFileSync(files.key, key);
    return {
      ...streaming,
      TS2OTEL_STREAMING__PUBLIC_URL: "https://localhost/services/collector/event",
      TS2OTEL_STREAMING__AUTO_CONFIGURE: "true",
      TS2OTEL_STREAMING__TLS__CERT_FILE: files.cert,
      TS2OTEL_STREAMING__TLS__KEY_FILE: files.key,
    };
  }

  test("that expire soon, or are for another name", async () => {
    const authority = createAuthority(directory);
    const one = authority.issue("one");
    const soon = await check(withTls(one.certificate, one.key));
    expect(troubles(soon.rows)["streaming.tls"]).toMatchObject({
      outcome: "warning",
      detail: expect.stringMatching(/^valid until 20\d\d-\d\d-\d\d: 1 day is left$/),
    });
    const elsewhere = await check({ ...withTls(one.certificate, one.key), TS2OTEL_STREAMING__PUBLIC_URL: publicUrl });
    expect(troubles(elsewhere.rows)["streaming.tls"]?.detail).toContain("but not for logs.example.com");
  });

  test("of tailscaled, or why there is none", async () => {
    const socket = join(directory, "tailscaled.sock");
    const tailscaled = await startTailscaled(socket, { pair: createAuthority(directory).issue("node") });
    const environment = {
      ...streaming,
      TS2OTEL_STREAMING__PUBLIC_URL: "https://localhost:8088/services/collector/event",
      TS2OTEL_STREAMING__TLS__TAILSCALE: "true",
      TS2OTEL_TAILSCALE__SOCKET: socket,
    };
    const found = async () => (await check(environment)).rows.find(({ subject }) => subject === "streaming.tls");
    expect((await found())?.detail).toMatch(/^valid until 20\d\d-\d\d-\d\d: 1 day is left$/);
    tailscaled.state.certDomains = null;
    expect(await found()).toEqual({
      subject: "streaming.tls",
      outcome: "failed",
      detail: "HTTPS certificates are not enabled for this tailnet",
      remedy: "Enable them on the DNS page of the admin console (https://login.tailscale.com/admin/dns).",
    });
    await tailscaled.stop();
  });

  test("that have expired", async () => {
    writeFileSync(join(directory, "old.pem"), expired);
    const { code, rows } = await check({ TS2OTEL_OTLP__TLS__CA_FILE: join(directory, "old.pem") });
    expect(troubles(rows)["otlp.tls.ca_file"]).toMatchObject({
      outcome: "failed",
      detail: "it has expired (Feb  1 00:00:00 2020 GMT)",
    });
    expect(code).toBe(1);
  });

  test("of the database that have expired", async () => {
    writeFileSync(join(directory, "old.pem"), expired);
    const nobody = `postgres://a@127.0.0.1:${await freePort()}/b?sslmode=verify-full`;
    const { rows } = await check({
      TS2OTEL_STATE__URL: nobody,
      TS2OTEL_STATE__TLS__CA_FILE: join(directory, "old.pem"),
    });
    expect(troubles(rows)["state.tls.ca_file"]).toEqual({
      subject: "state.tls.ca_file",
      outcome: "failed",
      detail: "it has expired (Feb  1 00:00:00 2020 GMT)",
      remedy: "Set it to the certificate of the authority that signed the database's, in PEM form.",
    });
  });
});

test("accepts a journal that a running instance uses", async () => {
  const path = join(directory, "held");
  const store = await openStore(configAt(path));
  try {
    const held = await check({ TS2OTEL_STATE__PATH: path });
    expect(held.rows.at(-1)).toMatchObject({ outcome: "ok", detail: `${path} is in use by a running instance` });
    expect(held.code).toBe(0);
  } finally {
    store.close();
  }
});
