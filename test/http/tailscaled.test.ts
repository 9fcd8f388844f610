import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { jsonResponse } from "../../src/http/exchange.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import { macAppPlace, TailscaledError } from "../../src/http/tailscaled.ts";
import { createServedKeyPair, obtainKeyPair } from "../../src/http/tls.ts";
import type { LogFields, Logger } from "../../src/lib/logger.ts";
import { createAuthority } from "../support/certificates.ts";
import { nodeName, type StandIn, type StandInState, startTailscaled } from "../support/tailscaled.ts";
import { until } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "tailscaled-"));
const socket = join(directory, "tailscaled.sock");
const authority = createAuthority(directory);
const [first, second] = [authority.issue("first"), authority.issue("second")];

let standIn: StandIn | undefined;
let server: HttpServer | undefined;

async function start(changes: Partial<StandInState> = {}): Promise<StandIn> {
  standIn = await startTailscaled(socket, { pair: first, ...changes });
  return standIn;
}

afterEach(async () => {
  await server?.stop(0);
  await standIn?.stop();
  server = standIn = undefined;
});
afterAll(() => rmSync(directory, { recursive: true }));

async function failure(timeoutMs = 5000): Promise<TailscaledError> {
  const error = await obtainKeyPair({ socket, timeoutMs }, Date.now()).catch((reason: unknown) => reason);
  if (error instanceof TailscaledError) return error;
  throw new Error(`no TailscaledError: ${String(error)}`);
}

const dnsPage = "on the DNS page of the admin console (https://login.tailscale.com/admin/dns)";
const user = spawnSync("id", ["-un"], { encoding: "utf8" }).stdout.trim();

describe("a certificate of tailscaled", () => {
  test("is requested for the node's own name, and comes with its key", async () => {
    const { requests } = await start({ certDomains: ["another.tail1234.ts.net", nodeName] });
    const { pair, overdue } = await obtainKeyPair({ socket }, Date.now());
    expect([pair.certificate.trim(), pair.key.trim()]).toEqual([first.certificate.trim(), first.key.trim()]);
    expect(overdue).toBeUndefined();
    expect(requests).toEqual([
      "/localapi/v0/status?peers=false",
      `/localapi/v0/cert/${nodeName}?type=pair&min_validity=0s`,
    ]);
  });

  test.each([
    "null",
    "[]",
    '{"Self":5}',
    '{"CurrentTailnet":true}',
    '{"CertDomains":"node"}',
    '{"CertDomains":["../status?a=\\u001b[2J"]}',
    '{"Self":{"DNSName":"a b"}}',
  ])("is not requested with the status %s", async (status) => {
    const paths: unknown[] = [];
    const strange = createServer(({ url }, response) => {
      paths.push(url);
      response.end(status);
    });
    await new Promise<void>((resolve) => strange.listen(socket, resolve));
    const { message, remedy } = await failure();
    await new Promise((resolve) => strange.close(resolve));
    expect([message, remedy]).toEqual(["the status of tailscaled has an unknown form", "Update Tailscale."]);
    expect(paths).toEqual(["/localapi/v0/status?peers=false"]);
  });

  const refusals: [string, Partial<StandInState>, string, string][] = [
    ["not logged in", { state: "NeedsLogin" }, "this node is not logged in to a tailnet", "Run: tailscale up"],
    ["turned off", { state: "Stopped" }, "Tailscale is turned off on this node", "Run: tailscale up"],
    [
      "that starts",
      { state: "NoState" },
      "tailscaled is still starting",
      "Wait. See its log: journalctl -u tailscaled",
    ],
    [
      "not approved",
      { state: "NeedsMachineAuth" },
      "this node waits for approval",
      "Approve it on the Machines page of the admin console.",
    ],
    [
      "without HTTPS",
      { certDomains: null },
      "HTTPS certificates are not enabled for this tailnet",
      `Enable them ${dnsPage}.`,
    ],
    [
      "without MagicDNS",
      { certDomains: null, magicDns: false },
      "MagicDNS is off for this tailnet, and certificates need it",
      `Enable MagicDNS, then HTTPS certificates, ${dnsPage}.`,
    ],
    [
      "that does not permit this user",
      { permits: false },
      `tailscaled issues no certificates to this user (${user})`,
      `Add TS_PERMIT_CERT_UID=${user} to /etc/default/tailscaled and run: systemctl restart tailscaled (or, for full control of Tailscale: tailscale set --operator=${user})`,
    ],
    [
      "that lost its map between two answers",
      { pair: undefined, refusal: { status: 500, text: "no netmap available\n" } },
      "this node is not logged in to a tailnet",
      "Run: tailscale up",
    ],
    [
      "whose HTTPS was disabled between two answers",
      {
        pair: undefined,
        refusal: { status: 500, text: "your Tailscale account does not support getting TLS certs\n" },
      },
      "HTTPS certificates are not enabled for this tailnet",
      `Enable them ${dnsPage}.`,
    ],
    [
      "whose authority fails",
      { pair: undefined, refusal: { status: 500, text: 'SetDNS "_acme-challenge" => "x": 503\u001b[31m\n' } },
      'tailscaled cannot get a certificate: HTTP 500, SetDNS "_acme-challenge" => "x": 503?[31m',
      "See its log: journalctl -u tailscaled",
    ],
    ["whose answer has no key", { fault: "no key" }, "tailscaled answered without a key", "Update Tailscale."],
  ];
  test.each(refusals)("for a node %s is refused with a remedy", async (_, changes, message, remedy) => {
    await start(changes);
    const error = await failure();
    expect([error.message, error.remedy]).toEqual([message, remedy]);
  });

  test("is requested again when the authority's rate limit allows it", async () => {
    await start({ pair: undefined, refusal: { status: 429, text: "rate limited\n", retryAfter: "120" } });
    const error = await failure();
    expect(error.message).toBe("the certificate authority limits requests: rate limited");
    expect(error.remedy).toBe("Wait: it is tried again in 2m.");
    expect(error.retryAfterSeconds).toBe(120);
  });

  test("is not taken from an answer that never ends, is huge, or is cut off", async () => {
    const { state } = await start({ fault: "silent" });
    expect((await failure(300)).message).toBe("tailscaled gave no answer within 300ms");
    state.fault = "huge";
    expect((await failure()).message).toBe(`cannot talk to tailscaled at ${socket}: its answer is too large`);
    state.fault = "cut";
    expect((await failure()).message).toStartWith(`cannot talk to tailscaled at ${socket}: `);
  });

  test("is not available without a socket, or from one that nobody listens on", async () => {
    const error = await failure();
    expect(error.message).toBe(`there is no tailscaled: ${socket} does not exist`);
    expect(error.remedy).toBe(
      "Install Tailscale. Start tailscaled, or set tailscale.socket to the path of its socket.",
    );
    writeFileSync(socket, "");
    expect((await failure()).message).toBe(`tailscaled is not running: nothing listens on ${socket}`);
    rmSync(socket);
  });

  test("is renewed first if less than a quarter of its lifetime is left, and says why if it is not", async () => {
    const { requests, state } = await start({ refusal: { status: 500, text: "acme: order failed\n" } });
    const late = Date.now() + 1.8 * 86_400_000;
    const { pair, overdue } = await obtainKeyPair({ socket }, late);
    expect(pair.key.trim()).toBe(first.key.trim());
    expect(String(overdue)).toContain("acme: order failed");
    expect(requests.at(-1)).toBe(`/localapi/v0/cert/${nodeName}?type=pair&min_validity=43200s`);
    state.refusal = undefined;
    expect(await obtainKeyPair({ socket }, late)).toEqual({ pair });
  });
});

interface Line {
  readonly message: string;
  readonly fields: LogFields | undefined;
}

function recorder() {
  const lines: Line[] = [];
  const add = (message: string, fields?: LogFields): void => void lines.push({ message, fields });
  const logger: Logger = { debug() {}, info: add, warn: add, error: add };
  return { lines, logger };
}

/** The name in the certificate that a new connection is shown. */
async function served(port: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socketOf = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(String(socketOf.getPeerCertificate().subject.CN));
      socketOf.end();
    });
    socketOf.on("error", reject);
  });
}

const routes = [{ path: "/", methods: { GET: () => jsonResponse(200, { text: "ok" }) } }];

describe("a listener with a certificate of tailscaled", () => {
  test("opens with it, and serves a renewed one after a reload", async () => {
    const { state } = await start();
    const { logger, lines } = recorder();
    server = createHttpServer({ listen: "127.0.0.1:0", tls: { socket } }, { routes, logger });
    await server.start();
    expect(server.isWaiting).toBe(false);
    expect(await served(server.port)).toBe("first");
    state.pair = second;
    await server.reload({ socket });
    expect(await served(server.port)).toBe("second");
    expect(lines.map(({ message }) => message)).toEqual(["TLS certificate replaced"]);
  });

  test("stays closed until there is one, and says why", async () => {
    const { state } = await start({ permits: false });
    const { logger, lines } = recorder();
    server = createHttpServer({ listen: "127.0.0.1:0", tls: { socket } }, { routes, logger });
    const started = server.start();
    await until(() => lines.length > 0);
    expect(lines[0]?.message).toBe("cannot open 127.0.0.1:0 with a TLS certificate; retrying");
    expect(lines[0]?.fields?.["reason"]).toBe(`tailscaled issues no certificates to this user (${user})`);
    expect(lines[0]?.fields?.["remedy"]).toContain("TS_PERMIT_CERT_UID");
    expect(server.isWaiting).toBe(true);
    state.permits = true;
    // A SIGHUP does the same; without one, the certificate is requested again after some seconds.
    await server.reload({ socket });
    await started;
    await until(() => server?.isWaiting === false);
    expect(await served(server.port)).toBe("first");
  });

  test("says at the start that its port is in use, although the certificate is missing", async () => {
    await start({ state: "NeedsLogin" });
    const { logger } = recorder();
    server = createHttpServer({ listen: "127.0.0.1:0" }, { routes, logger });
    await server.start();
    const other = createHttpServer({ listen: `127.0.0.1:${server.port}`, tls: { socket } }, { routes, logger });
    await expect(other.start()).rejects.toThrow("the address is already in use");
    await other.stop(0);
  });

  test("stops while it waits", async () => {
    await start({ fault: "silent" });
    const { logger } = recorder();
    const waiting = createHttpServer({ listen: "127.0.0.1:0", tls: { socket } }, { routes, logger });
    const started = waiting.start();
    await until(() => standIn?.requests.length === 2);
    await waiting.stop(0);
    await started;
  });

  test("keeps the old one if it cannot be renewed, and warns once a day with the days left", async () => {
    const { state, requests } = await start();
    const { logger, lines } = recorder();
    let now = Date.now();
    const pair = createServedKeyPair(
      { socket },
      { serve: async () => {}, listen: ":8088", logger, clock: () => now, random: Math.random, askMs: 20 },
    );
    await pair.start();
    state.refusal = { status: 500, text: "acme: order failed\n" };
    now += 1.6 * 86_400_000;
    await until(() => lines.length === 1);
    expect(lines[0]?.message).toBe(
      "cannot renew the TLS certificate; still serving the old one: tailscaled cannot get a certificate: HTTP 500, acme: order failed",
    );
    expect(lines[0]?.fields).toEqual({
      listen: ":8088",
      daysLeft: 0,
      remedy: "See its log: journalctl -u tailscaled",
    });
    expect(pair.trouble).toContain("acme: order failed");
    const enough = requests.length + 12;
    await until(() => requests.length > enough);
    expect(lines).toHaveLength(1);
    expect(pair.current?.certificate.trim()).toBe(first.certificate.trim());
    state.refusal = undefined;
    await until(() => pair.trouble === "");
    await pair.stop();
    expect(lines).toHaveLength(1);
  });
});

test("the Mac app's port and password are read from where it stores them", () => {
  const shared = join(directory, "Tailscale");
  expect(macAppPlace(shared)).toBeUndefined();
  mkdirSync(shared);
  symlinkSync("54321", join(shared, "ipnport"));
  writeFileSync(join(shared, "sameuserproof-54321"), "0123456789abcdef\n");
  expect(macAppPlace(shared)).toEqual({ host: "127.0.0.1", port: 54321, auth: ":0123456789abcdef" });
});
