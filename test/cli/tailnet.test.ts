/** The `tailnet` commands with a stand-in for Tailscale: their text, their JSON, and what they change. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/cli/flags.ts";
import { runArguments } from "../../src/cli/index.ts";
import type { Host } from "../../src/cli/terminal.ts";
import { ConfigError } from "../../src/errors.ts";
import { apiOf } from "../support/tailnet-api.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();
const state = join(directory, "state");
const token = "the-token-of-the-stream";
const streamUrl = "https://logs.example.com/services/collector/event";
const hookUrl = "https://hooks.example.com/tailscale/webhook";

let tailnet: Tailnet;

beforeEach(async () => {
  tailnet = await startTailnet();
});
afterEach(async () => {
  await tailnet.stop();
  rmSync(state, { recursive: true, force: true });
});

const environment = (): Record<string, string> => ({
  TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
  TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
  TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: tailnet.oauth.clientId,
  TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: tailnet.oauth.clientSecret,
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__TOKEN: token,
  TS2OTEL_STREAMING__PUBLIC_URL: "https://logs.example.com",
  TS2OTEL_WEBHOOK__PUBLIC_URL: "https://hooks.example.com",
  TS2OTEL_STATE__PATH: state,
});
const automatic = { TS2OTEL_WEBHOOK__AUTO_CONFIGURE: "true", TS2OTEL_WEBHOOK__ENABLED: "true" };

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly questions: readonly string[];
}

/** Runs a command in this process, so that it can have a terminal. */
async function run(
  line: string,
  options: {
    answer?: string;
    answers?: string[];
    set?: Record<string, string>;
    onOutput?: (text: string) => void;
  } = {},
): Promise<Ran> {
  const texts = { out: "", err: "" };
  const questions: string[] = [];
  const output = (name: "out" | "err") => ({
    isTerminal: true,
    hasColor: false,
    write: async (text: string) => {
      texts[name] += text;
      if (name === "out") options.onOutput?.(text);
    },
  });
  const host: Host = {
    environment: { ...environment(), ...options.set },
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: directory },
    out: output("out"),
    err: output("err"),
    isInteractive: true,
    workerEntry: new URL(import.meta.url),
    ask: async (question) => {
      questions.push(question);
      return options.answers?.shift() ?? options.answer;
    },
    exit() {
      throw new Error("exit");
    },
  };
  const code = await runArguments(line.split(" "), host);
  return { code, ...texts, questions };
}
const json = async (line: string, set: Record<string, string> = {}): Promise<unknown> => {
  const { code, out } = await run(`${line} --json`, { set });
  expect(code).toBe(0);
  return JSON.parse(out);
};
const foreign = {
  url: "https://siem.example.com/in?key=secret",
  user: "ops",
  token: "x",
  compressionFormat: "none",
} as const;

describe("tailnet stream", () => {
  test("show says where the logs go, as text and as JSON", async () => {
    await apiOf(tailnet).putLogStream("network", foreign);
    const { code, out } = await run("tailnet stream show");
    expect(code).toBe(0);
    expect(out).toBe(
      [
        "log            here     destination                                    compression  last activity  entries  failed requests  last error",
        "network        no       splunk https://siem.example.com/in?[redacted]  none         none           0        0                none",
        "configuration  not set",
        "",
      ].join("\n"),
    );
    expect(await json("tailnet stream show --log configuration")).toEqual([
      { log: "configuration", here: "not set", stream: null, status: null },
    ]);
    expect(await json("tailnet stream show --log network")).toMatchObject([
      { log: "network", here: "no", stream: { user: "ops" }, status: { numEntriesSent: 0 } },
    ]);
  });

  test("set points both logs here, even if they already point here", async () => {
    const { out, questions } = await run("tailnet stream set");
    expect(out).toBe(`network: now sent to ${streamUrl}\nconfiguration: now sent to ${streamUrl}\n`);
    const target = { url: streamUrl, user: "tailscale2otel", token, compressionFormat: "zstd" } as const;
    for (const log of ["network", "configuration"] as const) expect(tailnet.stream(log)).toMatchObject(target);
    expect(await json("tailnet stream show --log flow")).toEqual(await json("tailnet stream show --log network"));
    expect((await run("tailnet stream show --log network")).out).toMatch(/^network +yes /m);
    const next = { TS2OTEL_STREAMING__TOKEN: "the-next-token" };
    expect(await json("tailnet stream set --log network", next)).toEqual([
      { log: "network", url: streamUrl, replaced: null },
    ]);
    expect(tailnet.stream("network")?.token).toBe("the-next-token");
    expect(questions).toEqual([]);
  });

  test("set replaces another destination only after a yes", async () => {
    await apiOf(tailnet).putLogStream("network", foreign);
    for (const answer of ["", "no", "yesterday"]) {
      const { code, out, questions } = await run("tailnet stream set", { answer });
      expect(code).toBe(1);
      expect(out).toBe(`network: unchanged\nconfiguration: now sent to ${streamUrl}\n`);
      expect(questions).toEqual([
        "The network log goes to splunk https://siem.example.com/in?[redacted]. Replace that? [y/N] ",
      ]);
    }
    await expect(run("tailnet stream set")).rejects.toThrow(UsageError);
    expect(tailnet.stream("network")?.url).toBe(foreign.url);
    expect((await run("tailnet stream set", { answer: "y" })).code).toBe(0);
    expect(tailnet.stream("network")?.url).toBe(streamUrl);
    await apiOf(tailnet).putLogStream("network", foreign);
    expect(await json("tailnet stream set --log network --yes")).toEqual([
      { log: "network", url: streamUrl, replaced: "https://siem.example.com/in?[redacted]" },
    ]);
  });

  test("with a yes for one log and a no for the other, each outcome is printed and the exit code is 1", async () => {
    await run("tailnet stream set");
    const answers = ["y", "n"];
    const { code, out, err } = await run("tailnet stream remove", { answers });
    expect([code, err]).toEqual([1, ""]);
    expect(out).toBe(`network: no longer sent to ${streamUrl}\nconfiguration: unchanged\n`);
    expect([tailnet.stream("network"), tailnet.stream("configuration")?.url]).toEqual([undefined, streamUrl]);
    await apiOf(tailnet).putLogStream("network", foreign);
    await apiOf(tailnet).putLogStream("configuration", foreign);
    const set = await run("tailnet stream set --json", { answers: ["y", "n"] });
    expect([set.code, JSON.parse(set.out)]).toEqual([
      1,
      [
        { log: "network", url: streamUrl, replaced: "https://siem.example.com/in?[redacted]" },
        { log: "configuration", declined: true },
      ],
    ]);
  });

  test("changes made before a failure are printed", async () => {
    tailnet.fail({ path: /configuration\/stream$/, times: 99, effect: { kind: "status", status: 500 } });
    const parts: string[] = [];
    await expect(run("tailnet stream set", { onOutput: (text) => parts.push(text) })).rejects.toThrow();
    await expect(run("tailnet stream set --json", { onOutput: (text) => parts.push(text) })).rejects.toThrow();
    expect(parts[0]).toBe(`network: now sent to ${streamUrl}\n`);
    expect(JSON.parse(parts[1] ?? "")).toEqual([{ log: "network", url: streamUrl, replaced: null }]);
    expect(tailnet.stream("network")?.url).toBe(streamUrl);
  });

  test("remove asks, and says that the service will set the streams again", async () => {
    await run("tailnet stream set");
    expect((await run("tailnet stream remove", { answer: "n" })).code).toBe(1);
    const { out, err } = await run("tailnet stream remove -y", { set: { TS2OTEL_STREAMING__AUTO_CONFIGURE: "true" } });
    expect(out).toBe(`network: no longer sent to ${streamUrl}\nconfiguration: no longer sent to ${streamUrl}\n`);
    expect(err).toContain("the next start of the service sets it again");
    expect(tailnet.stream("network")).toBeUndefined();
    expect((await run("tailnet stream remove")).out).toBe(
      "network: was not sent anywhere\nconfiguration: was not sent anywhere\n",
    );
  });

  test("set without an address or a token is a wrong configuration", async () => {
    const set = { TS2OTEL_STREAMING__PUBLIC_URL: "", TS2OTEL_STREAMING__TOKEN: "" };
    const error: unknown = await run("tailnet stream set", { set }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems).toHaveLength(2);
    expect(tailnet.requests).toEqual([]);
  });
});

describe("tailnet webhook", () => {
  const create = () => apiOf(tailnet).createWebhook({ url: hookUrl, subscriptions: ["nodeCreated"] });
  const only = () => tailnet.webhooks[0];

  test("list shows all webhooks, and which one points here", async () => {
    expect((await run("tailnet webhook list")).out).toBe("there are no webhooks\n");
    expect(await json("tailnet webhook list")).toEqual([]);
    const { id, created } = await create();
    const { out } = await run("tailnet webhook list");
    expect(out.split("\n")).toEqual([
      "id     here  address                                      created               subscriptions",
      `${id}  yes   ${hookUrl}  ${created}  nodeCreated`,
      "",
    ]);
    expect(await json("tailnet webhook list")).toMatchObject([{ id, url: hookUrl, isOurs: true }]);
  });

  test("create prints the secret once if the service does not store it", async () => {
    const made = (await json("tailnet webhook create --subscriptions nodeCreated,policyUpdate")) as { secret: string };
    expect(made).toMatchObject({ url: hookUrl, subscriptions: ["nodeCreated", "policyUpdate"], result: "created" });
    expect(made.secret).toBe(only()?.secret ?? "");
    expect(() => readdirSync(state)).toThrow();
    await expect(run("tailnet webhook create")).rejects.toThrow(/has that address already.*rotate --id/);
    const { out } = await run("tailnet webhook create --url https://other.example.com/hook");
    expect(out).toContain(`secret: ${tailnet.webhooks[1]?.secret ?? ""}\n`);
    expect(tailnet.webhooks[1]?.subscriptions).toHaveLength(18);
    await expect(run("tailnet webhook create --subscriptions nodeCreated,usrCreated")).rejects.toThrow(
      'there is no event type "usrCreated"; did you mean userCreated?',
    );
  });

  test("create and rotate store the secret if the service reads it from there", async () => {
    const { out } = await run("tailnet webhook create", { set: automatic });
    const secret = only()?.secret ?? "";
    const path = join(state, "webhook.json");
    expect(out).toBe(`${only()?.id ?? ""}: created for ${hookUrl}; its secret is in ${path}\n`);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ id: only()?.id, url: hookUrl, secret });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const rotated = await json("tailnet webhook rotate", automatic);
    expect(rotated).toMatchObject({ result: "rotated", secretFile: path });
    expect(JSON.stringify(rotated)).not.toContain("tskey-webhook");
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ secret: only()?.secret, previous: { secret } });
  });

  test("rotate asks for confirmation if the verifier must be given the new secret", async () => {
    const { id, secret } = await create();
    expect((await run("tailnet webhook rotate", { answer: "no" })).code).toBe(1);
    expect(only()?.secret).toBe(secret);
    await expect(run("tailnet webhook rotate")).rejects.toThrow(/--yes/);
    const { out } = await run("tailnet webhook rotate", { answer: "YES" });
    expect(out).toContain(`secret: ${only()?.secret ?? ""}\n`);
    expect(only()?.secret).not.toBe(secret);
    const memory = { ...automatic, TS2OTEL_STATE__PATH: ":memory:" };
    expect(await json(`tailnet webhook rotate --id ${id} --yes`, memory)).toMatchObject({ secret: only()?.secret });
  });

  test("test asks Tailscale for an event", async () => {
    const { id } = await create();
    expect((await run("tailnet webhook test")).out).toStartWith(`${id}: Tailscale will send a test event`);
    await tailnet.testsDelivered();
    expect(tailnet.requests.at(-1)).toMatchObject({ path: `/api/v2/webhooks/${id}/test`, status: 202 });
  });

  test("remove asks, and deletes the stored secret", async () => {
    await run("tailnet webhook create", { set: automatic });
    expect((await run("tailnet webhook remove", { answer: "n", set: automatic })).code).toBe(1);
    const { err } = await run("tailnet webhook remove", { answer: "y", set: automatic });
    expect(err).toContain("the next start of the service creates it again");
    expect(tailnet.webhooks).toEqual([]);
    expect(readdirSync(state)).toEqual([]);
  });

  test("without an id, the webhook must be unambiguous", async () => {
    const none = { TS2OTEL_WEBHOOK__PUBLIC_URL: "" };
    await expect(run("tailnet webhook test")).rejects.toThrow(
      "no webhook has the address of webhook.public_url; there are none",
    );
    const { id } = await create();
    await expect(run("tailnet webhook test", { set: none })).rejects.toThrow(
      `webhook.public_url is not set; there are ${id} (`,
    );
    await expect(run("tailnet webhook test --id 7")).rejects.toThrow('no webhook has the id "7"');
    await expect(run("tailnet webhook create", { set: none })).rejects.toThrow(ConfigError);
    await create();
    await expect(run("tailnet webhook remove --yes")).rejects.toThrow("several webhooks have the address");
  });
});

describe("from the command line", () => {
  test("a missing scope is reported with a remedy", async () => {
    tailnet.grant(["devices:core:read"]);
    const { code, stdout, stderr } = await runToEnd(directory, ["tailnet", "webhook", "list"], environment());
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr.split("\n")).toHaveLength(3);
    expect(stderr).toContain("webhooks:read");
    expect(stderr).not.toContain(tailnet.oauth.clientSecret);
  });

  test("missing credentials are a wrong configuration", async () => {
    const { code, stderr } = await runToEnd(directory, ["tailnet", "stream", "show"]);
    expect(code).toBe(78);
    expect(stderr).toStartWith(
      "tailscale2otel: there are no credentials for Tailscale's API: set tailscale.auth.oauth",
    );
  });

  test("a pipe gets text, and --json gives JSON", async () => {
    const words = ["tailnet", "stream", "set", "--log", "network"];
    expect(await runToEnd(directory, words, environment())).toEqual({
      code: 0,
      stdout: `network: now sent to ${streamUrl}\n`,
      stderr: "",
    });
    const { stdout } = await runToEnd(directory, [...words, "--json"], environment());
    expect(JSON.parse(stdout)).toEqual([{ log: "network", url: streamUrl, replaced: null }]);
  });

  test.each([
    [["tailnet"], "tailnet needs one of: tailnet stream show, tailnet stream set"],
    [
      ["tailnet", "stream"],
      "tailnet stream needs one of: tailnet stream show, tailnet stream set, tailnet stream remove",
    ],
    [["tailnet", "webhok", "list"], 'unknown command "tailnet webhok"; did you mean tailnet webhook?'],
    [["tailnet", "foo"], 'unknown command "tailnet foo"; there are tailnet stream, tailnet webhook (see'],
    [["tailnet", "stream", "shw"], 'unknown command "tailnet stream shw"; did you mean tailnet stream show?'],
    [
      ["tailnet", "stream", "show", "--log", "flows"],
      '--log must be one of network, configuration, both, flow, audit, not "flows"',
    ],
    [["tailnet", "webhook", "remove", "7"], 'unexpected argument "7"'],
  ])("%j is a usage error", async (args, message) => {
    const { code, stderr } = await runToEnd(directory, args);
    expect(stderr).toStartWith(`tailscale2otel: ${message}`);
    expect(code).toBe(64);
  });

  test.each([[["tailnet", "--help"]], [["tailnet", "webhook", "-h"]], [["tailnet", "stream", "set", "--help"]]])(
    "%j shows help",
    async (args) => {
      const { code, stdout } = await runToEnd(directory, args);
      expect(code).toBe(0);
      expect(stdout).toContain(`tailnet ${args[1] === "webhook" ? "webhook rotate" : "stream set"}`);
    },
  );
});
