/** `init` in a terminal: it explains and repeats a question with an invalid answer, and keeps earlier answers. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { freePort } from "../support/port.ts";
import { startInTerminal } from "../support/terminal.ts";
import { temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();

/** Starts `init` from source in an empty directory, with an unreachable API. */
async function init(name: string, ...flags: readonly string[]) {
  const directory = join(parent, name);
  mkdirSync(directory);
  const env = {
    // HOME is shared, because the runtime fills a cache there.
    HOME: parent,
    XDG_STATE_HOME: join(parent, "state"),
    PATH: "/usr/bin:/bin",
    TS2OTEL_TAILSCALE__BASE_URL: `http://127.0.0.1:${await freePort()}`,
    TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
  };
  const entry = join(import.meta.dirname, "../../src/main.ts");
  const asking = startInTerminal([process.execPath, entry, "init", ...flags], { cwd: directory, env });
  return { asking, directory, written: () => readFileSync(join(directory, "tailscale2otel.toml"), "utf8") };
}

const noSecret = "printable ASCII without spaces";

test("a header that cannot be sent, and a header given twice, of which the second corrects the first", async () => {
  const { asking, written } = await init("header", "--source", "stream", "--reach", "https://logs.example.com");
  const again = "or a header as Name: value.";
  await asking.answer("Answer [1]:", `http://127.0.0.1:${await freePort()}`);
  await asking.answer(again, "Content-Type: text/plain");
  await asking.until("this header is set by the program");
  await asking.answer(again, "X-Key: wrong");
  await asking.answer(again, "x-key: right");
  await asking.answer(again, "");
  await asking.answer("Public address", "");
  await asking.answer("by hand", "");
  expect(await asking.ended).toBe(0);
  expect(written()).toContain('[otlp.headers]\nx-key = "right"\n');
}, 120_000);

test("the endpoint, instance ID and token of Grafana Cloud", async () => {
  const { asking, directory } = await init("grafana", "--source", "stream", "--reach", "https://logs.example.com");
  const endpoint = "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp";
  await asking.answer("Answer [1]:", "2");
  await asking.answer("OTLP endpoint, such as", `${endpoint}/v1/logs`);
  await asking.until("it ends with a path of OTLP");
  await asking.answer("OTLP endpoint, such as", endpoint);
  await asking.answer("Instance ID", "one");
  await asking.answer("Instance ID", "123456");
  await asking.answer("Token (glc_…, not shown):", "glc_ with a space");
  await asking.until(noSecret);
  await asking.until("Token (glc_…, not shown):");
  // The test ends here, so that nothing is sent to Grafana Cloud.
  asking.type("\u0003");
  expect(await asking.ended).toBe(130);
  expect(readdirSync(directory)).toEqual([]);
}, 120_000);

test("the OAuth client, also after it was tried", async () => {
  const { asking, written } = await init("oauth", "--source", "poll", "--endpoint", "none", "--webhook", "none");
  await asking.answer("Client ID:", "none");
  await asking.until("the API can be polled only with an OAuth client");
  await asking.answer("Client ID:", "kExampleÖ");
  await asking.answer("Client ID:", "kFirstCNTRL");
  await asking.answer("not shown):", "tskey-client with a space");
  await asking.until(noSecret);
  await asking.answer("not shown):", "tskey-client-first");
  await asking.until("connection refused");
  await asking.answer("Or another client ID:", "k with spaces");
  await asking.until("has no spaces");
  await asking.answer("Or another client ID:", "kSecondCNTRL");
  await asking.answer("not shown):", "tskey-client-second");
  await asking.answer("Or another client ID:", "");
  expect(await asking.ended).toBe(0);
  expect(written()).toContain('client_id = "kSecondCNTRL"\nclient_secret = "tskey-client-second"\n');
}, 120_000);

test("the name of this machine, and the secret of the webhook", async () => {
  const { asking, written } = await init("webhook", "--source", "stream", "--endpoint", "none", "--reach", "tailnet");
  await asking.answer("Full name of this machine", "10.0.0.1");
  await asking.until("Tailscale cannot reach a private IPv4 address");
  await asking.answer("Full name of this machine", "node.tail1234.ts.net");
  await asking.answer("Public address", "https://hooks.example.com");
  await asking.answer("by hand", "");
  await asking.answer("Secret (tskey-webhook-…, not shown)", "tskey-webhook with a space");
  await asking.until(noSecret);
  await asking.answer("Secret (tskey-webhook-…, not shown)", "tskey-webhook-s3cr3t");
  expect(await asking.ended).toBe(0);
  expect(written()).toContain('secret = "tskey-webhook-s3cr3t"\n');
  expect(asking.text()).not.toContain("tskey-webhook-s3cr3t");
}, 120_000);
