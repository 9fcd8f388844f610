/** `send`, as its user runs it, against the program and against other servers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { type Program, runToEnd, start, temporaryDirectory } from "./program.ts";
import { nodeName, startTailscaled } from "../support/tailscaled.ts";

const directory = temporaryDirectory();
const secrets = { TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-send", TS2OTEL_STREAMING__TOKEN: "send-token" };
let program: Program;
let stream: string;
let webhook: string;
let other: Server;
let otherUrl: string;

beforeAll(async () => {
  program = start(directory, ["run"], {
    ...secrets,
    TS2OTEL_STREAMING__ENABLED: "true",
    TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
    TS2OTEL_WEBHOOK__ENABLED: "true",
    TS2OTEL_WEBHOOK__LISTEN: "127.0.0.1:0",
    TS2OTEL_ADMIN__ENABLED: "false",
    TS2OTEL_STATE__PATH: ":memory:",
    TS2OTEL_OTLP__PROTOCOL: "stdout",
  });
  const ready = JSON.parse(await program.line('"ready"')) as { stream: string; webhook: string };
  stream = `${ready.stream}/services/collector/event`;
  webhook = `${ready.webhook}/tailscale/webhook`;
  other = createServer((_, response) => {
    response.writeHead(302, { location: "http://192.0.2.1/" }).end("x".repeat(5000));
  });
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x?key=s3cr3t`;
});

afterAll(async () => {
  other.close();
  program.process.kill("SIGTERM");
  const { code, stdout } = await program.ended;
  expect(code).toBe(0);
  for (const name of ["tailscale.webhook.nodeCreated", "tailscale.network.flow", "tailscale.config.audit"])
    expect(stdout).toContain(`"eventName":"${name}"`);
});

const checkIt = "Check the address, and whether the receiver is running.";

describe("send", () => {
  test("webhook is signed with the configured secret, and accepted", async () => {
    const { code, stdout, stderr } = await runToEnd(
      directory,
      ["send", "webhook", "--url", webhook, "--type=nodeCreated"],
      secrets,
    );
    expect(stdout).toMatch(
      /^POST http:\/\/127\.0\.0\.1:\d+\/tailscale\/webhook \(\d+ bytes, signed with webhook\.secret\)\n200 OK in \d+ ms\n\{"text":"Success"\}\n$/,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("hec carries the configured token, and both records are accepted", async () => {
    const { code, stdout, stderr } = await runToEnd(directory, ["send", "hec", "--url", stream], secrets);
    expect(stdout).toMatch(/ bytes, with streaming\.token\)\n200 OK in \d+ ms\n\{"text":"Success","code":0\}\n$/);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("hec goes to the node's name, which tailscaled's certificate is for", async () => {
    const socket = join(directory, "tailscaled.sock");
    const tailscaled = await startTailscaled(socket, {});
    const tls = {
      TS2OTEL_STREAMING__LISTEN: "127.0.0.1:1",
      TS2OTEL_STREAMING__TLS__TAILSCALE: "true",
      TS2OTEL_TAILSCALE__SOCKET: socket,
    };
    const named = await runToEnd(directory, ["send", "hec"], { ...secrets, ...tls });
    expect([named.stdout, named.stderr]).toEqual(["", expect.stringContaining(`${nodeName}:1`)]);
    await tailscaled.stop();
    const unnamed = await runToEnd(directory, ["send", "hec"], { ...secrets, ...tls });
    expect([unnamed.stdout, unnamed.stderr]).toEqual(["", expect.stringContaining("127.0.0.1:1.")]);
  });

  test.each([
    [
      "webhook without a secret",
      ["webhook"],
      {},
      /not signed: webhook\.secret is empty\)\n401 [^]*Signature is required/,
    ],
    [
      "webhook with a wrong secret",
      ["webhook"],
      { TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-other" },
      /401 [^]*Signature does not match/,
    ],
    ["hec without a token", ["hec"], {}, /without a token: streaming\.token is empty\)\n401 [^]*"code":2/],
  ])("%s prints the refusal, and fails", async (_, [kind = ""], environment, answer) => {
    const url = kind === "hec" ? stream : webhook;
    const { code, stdout } = await runToEnd(directory, ["send", kind, "--url", url], environment);
    expect(stdout).toMatch(answer);
    expect(code).toBe(1);
  });

  test.each([
    [
      ["hec"],
      "Set streaming.token (TS2OTEL_STREAMING__TOKEN) to the one that the receiver uses. No configuration file was found: run this in its folder, or name it with --config.",
    ],
    [
      ["webhook"],
      "Set webhook.secret (TS2OTEL_WEBHOOK__SECRET) to the one that the receiver uses. No configuration file was found: run this in its folder, or name it with --config.",
    ],
    [["hec", "/foo"], "Check the path: it must be streaming.path of the receiver."],
  ])("says what to do about a refusal: %j", async ([kind = "", path = ""], fix) => {
    const url = kind === "hec" ? stream : webhook;
    const { stdout, code } = await runToEnd(directory, ["send", kind, "--url", `${url}${path}`]);
    expect(stdout).toEndWith(`}\n${fix}\n`);
    expect(code).toBe(1);
  });

  test("says how to find out why a receiver accepts nothing", async () => {
    const full = createServer((_, response) => response.writeHead(503).end());
    await new Promise<void>((resolve) => full.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(full.address() as AddressInfo).port}`;
    const { stdout, code } = await runToEnd(directory, ["send", "hec", "--url", url]);
    full.close();
    expect(stdout).toEndWith("The receiver accepts nothing now: tailscale2otel status says why.\n");
    expect(code).toBe(1);
  });

  test("says that https needs a receiver with TLS", async () => {
    const url = stream.replace("http:", "https:");
    const { stderr, code } = await runToEnd(directory, ["send", "hec", "--url", url]);
    expect(stderr).toMatch(
      /^tailscale2otel: no answer: TLS .+\. A receiver without TLS needs http:\/\/ in the address\.\n$/,
    );
    expect(code).toBe(1);
  });

  test("says which stored secret cannot be read", async () => {
    mkdirSync(join(directory, "odd", "webhook.json"), { recursive: true });
    const { stderr, code } = await runToEnd(directory, ["send", "webhook", "--set", "state.path=odd"], {
      TS2OTEL_WEBHOOK__AUTO_CONFIGURE: "true",
    });
    const path = join(realpathSync(directory), "odd", "webhook.json");
    expect(stderr).toBe(
      `tailscale2otel: cannot read ${path}: it is a directory. Run this as the user of the service, or set webhook.secret.\n`,
    );
    expect(code).toBe(1);
  });

  test("goes to the configured listener if no address is given", async () => {
    const { port } = new URL(webhook);
    const { stdout, code } = await runToEnd(directory, ["send", "webhook"], {
      ...secrets,
      TS2OTEL_WEBHOOK__LISTEN: `:${port}`,
    });
    expect(stdout).toStartWith(`POST http://127.0.0.1:${port}/tailscale/webhook `);
    expect(code).toBe(0);
  });

  test("does not follow redirects, truncates a long answer, and hides the query of an address", async () => {
    const { code, stdout } = await runToEnd(directory, ["send", "webhook", "--url", otherUrl], secrets);
    expect(stdout).toContain("302 Found");
    expect(stdout).toContain(`${"x".repeat(2000)}…\n`);
    expect(stdout).not.toContain("s3cr3t");
    expect(code).toBe(1);
  });

  test.each([
    [["hec", "--url", "http://127.0.0.1:1/"], {}, `connection refused by 127.0.0.1:1. ${checkIt}`],
    [["hec", "--url", "http://nowhere.invalid/"], {}, `host name not found: nowhere.invalid. ${checkIt}`],
    [
      ["webhook", "--set", "webhook.listen=:1"],
      {},
      "connection refused by 127.0.0.1:1. webhook.enabled is false in this configuration. Set it to true and start the service, or give the address of a receiver with --url.",
    ],
    [
      ["hec", "--set", "streaming.listen=:1"],
      { TS2OTEL_STREAMING__ENABLED: "true" },
      "connection refused by 127.0.0.1:1. Start the service, or give the address of the receiver with --url.",
    ],
  ])("says why there is no answer, and what to do: %j", async (args, environment, reason) => {
    const answered = await runToEnd(directory, ["send", ...args], environment as Record<string, string>);
    const { code, stdout, stderr } = answered;
    expect([stdout, stderr]).toEqual(["", `tailscale2otel: no answer: ${reason}\n`]);
    expect(code).toBe(1);
  });

  test.each([
    [["send"], "send", "send needs one of: send hec, send webhook"],
    [["send", "webhok"], "send", 'unknown command "send webhok"; did you mean send webhook?'],
    [["send", "webhook", "now"], "send webhook", 'unexpected argument "now"'],
    [
      ["send", "webhook", "--url", "example.com"],
      "send webhook",
      '--url must be an address that begins with http:// or https://, not "example.com"',
    ],
  ])("%j is a usage error", async (args, command, message) => {
    const { code, stderr } = await runToEnd(directory, args);
    expect(stderr).toBe(`tailscale2otel: ${message} (see tailscale2otel ${command} --help)\n`);
    expect(code).toBe(64);
  });

  test("shows its commands", async () => {
    const { code, stdout } = await runToEnd(directory, ["send", "--help"]);
    expect(stdout).toContain("  send webhook   Send a signed webhook to a receiver, and print its answer\n");
    expect(code).toBe(0);
  });
});
