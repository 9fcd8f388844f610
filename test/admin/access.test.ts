/** Access control: tokens, sessions of the page, guessing, and requests sent by pages of other sites. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { isForeign } from "../../src/http/auth.ts";
import { createAttempts, createSessions } from "../../src/admin/access.ts";
import type { Exchange } from "../../src/http/exchange.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { adminWith } from "../support/admin.ts";

let admin: Admin | undefined;
let base = "";
let now = 0;
let rejected: string[] = [];
let warnings: string[] = [];

afterEach(async () => {
  await admin?.stop(0);
  admin = undefined;
});

async function start(token: string): Promise<void> {
  now = Date.UTC(2026, 10, 2);
  rejected = [];
  warnings = [];
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  const add = (_: string, __: number, attributes: object): void => void rejected.push(Object.values(attributes).join());
  const telemetry = { ...silentTelemetry, add };
  admin = createAdmin({ listen: "127.0.0.1:0", token }, adminWith({ telemetry, logger, clock: () => now }));
  await admin.start();
  base = `http://127.0.0.1:${admin.port}`;
}

const json = { "content-type": "application/json" };

function signIn(token: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ token });
  return fetch(`${base}/api/v1/session`, { method: "POST", headers: { ...json, ...headers }, body });
}

const cookieOf = (answer: Response): string => (answer.headers.get("set-cookie") ?? "").replace(/;.*/, "");
const statusWith = async (headers: Record<string, string>): Promise<number> =>
  (await fetch(`${base}/api/v1/status`, { headers })).status;
const session = async (cookie = ""): Promise<unknown> =>
  (await fetch(`${base}/api/v1/session`, { headers: { cookie } })).json();

describe("a session", () => {
  test("begins with the token, grants the same access, and ends after 12 hours", async () => {
    await start("admin-token");
    expect(await session()).toEqual({ required: true, signedIn: false });
    const answer = await signIn("admin-token");
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    expect(answer.headers.get("set-cookie")).toMatch(
      /^tailscale2otel-\d+=\d+\.[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const cookie = cookieOf(answer);
    expect(await session(cookie)).toEqual({ required: true, signedIn: true });
    expect(await statusWith({ cookie })).toBe(200);
    expect(await statusWith({ cookie: `a=b; ${cookie}; c` })).toBe(200);
    expect(await statusWith({ authorization: "Bearer admin-token" })).toBe(200);
    now += 12 * 3_600_000 - 1000;
    expect(await statusWith({ cookie })).toBe(200);
    now += 1000;
    expect(await statusWith({ cookie })).toBe(401);
    expect(await session(cookie)).toEqual({ required: true, signedIn: false });
  });

  test("is refused with a wrong token, and the log says what to do, once a minute", async () => {
    await start("admin-token");
    expect([(await signIn("other-token")).status, (await signIn("admin-token2")).status]).toEqual([401, 401]);
    expect(warnings).toEqual([
      "wrong admin token: whoever asks must give the value that admin.token has in this instance",
    ]);
  });

  test("is ended by the browser, whose cookie is removed", async () => {
    await start("admin-token");
    const ended = await fetch(`${base}/api/v1/session`, { method: "DELETE" });
    expect(ended.status).toBe(204);
    expect(ended.headers.get("set-cookie")).toMatch(
      /^tailscale2otel-\d+=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/,
    );
  });

  test("ends with the token that it began with", async () => {
    await start("admin-token");
    const cookie = cookieOf(await signIn("admin-token"));
    await admin?.reload({ token: "another-token" });
    expect(await statusWith({ cookie })).toBe(401);
    expect((await signIn("admin-token")).status).toBe(401);
    expect(await statusWith({ cookie: cookieOf(await signIn("another-token")) })).toBe(200);
  });

  test("cannot be forged: every part of the cookie is checked", async () => {
    await start("admin-token");
    const cookie = cookieOf(await signIn("admin-token"));
    const [name = "", expiry = "", signature = ""] = cookie.split(/[=.]/);
    const other = signature.startsWith("A") ? "B" : "A";
    for (const forged of [
      `${name}=${Number(expiry) + 1}.${signature}`,
      `${name}=${expiry}.${other}${signature.slice(1)}`,
      `${name}=${expiry}.`,
      `${name}=.${signature}`,
      `${name}=`,
      `${name}x=${expiry}.${signature}`,
      // The cookie of an instance on another port.
      `tailscale2otel-1=${expiry}.${signature}`,
    ])
      expect([forged, await statusWith({ cookie: forged })]).toEqual([forged, 401]);
  });

  test("is sent only over TLS if the page came over TLS, also through a proxy", async () => {
    await start("admin-token");
    const { host } = new URL(base);
    expect((await signIn("admin-token", { origin: `https://${host}` })).headers.get("set-cookie")).toEndWith(
      "; Secure",
    );
    expect((await signIn("admin-token", { origin: `http://${host}` })).headers.get("set-cookie")).not.toContain(
      "Secure",
    );
    const sessions = createSessions("t", { port: () => 1, clock: () => 0 });
    expect(sessions.begin("secure")).toEndWith("; Secure");
  });

  test("is not needed without a token", async () => {
    await start("");
    expect(await session()).toEqual({ required: false, signedIn: true });
    const answer = await signIn("whatever");
    expect([answer.status, answer.headers.get("set-cookie")]).toEqual([204, null]);
  });

  test.each([[{}], [{ token: 1 }], [{ token: "t", user: "u" }], [[]], ["t"]])(
    "does not begin with %j",
    async (body) => {
      await start("admin-token");
      const answer = await fetch(`${base}/api/v1/session`, {
        method: "POST",
        headers: json,
        body: JSON.stringify(body),
      });
      expect([400, 401]).toContain(answer.status);
      expect(answer.headers.get("set-cookie")).toBeNull();
    },
  );

  test("is not started by a form or by a page of another origin", async () => {
    await start("admin-token");
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect((await signIn("admin-token", form)).status).toBe(415);
    expect((await signIn("admin-token", { origin: "https://evil.example.com" })).status).toBe(403);
    expect((await signIn("admin-token", { "sec-fetch-site": "same-site" })).status).toBe(403);
    const cookie = cookieOf(await signIn("admin-token"));
    expect(await statusWith({ cookie, "sec-fetch-site": "cross-site" })).toBe(403);
    expect(rejected.filter((reason) => reason === "foreign")).toHaveLength(3);
  });

  test("does nothing for a POST without JSON", async () => {
    await start("admin-token");
    const cookie = cookieOf(await signIn("admin-token"));
    const post = (headers: Record<string, string>) =>
      fetch(`${base}/api/v1/replay`, { method: "POST", headers: { cookie, ...headers }, body: '{"since":0}' });
    expect((await post({ "content-type": "text/plain" })).status).toBe(415);
    expect((await post({ ...json, "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect(
      (await fetch(`${base}/api/v1/replay`, { method: "OPTIONS" })).headers.get("access-control-allow-methods"),
    ).toBeNull();
  });
});

describe("guessing the token", () => {
  test("is limited to 20 attempts, then one per second, and counted; sessions keep working", async () => {
    await start("admin-token");
    const cookie = cookieOf(await signIn("admin-token"));
    for (let guess = 0; guess < 20; guess++) expect((await signIn(`guess-${guess}`)).status).toBe(401);
    const refused = await signIn("admin-token");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(await statusWith({ authorization: "Bearer admin-token" })).toBe(429);
    expect(await statusWith({ cookie })).toBe(200);
    expect(await statusWith({})).toBe(401);
    // Attempts through a proxy or by DNS rebinding are counted separately from those of programs on this machine.
    expect(await statusWith({ authorization: "Bearer admin-token", host: "node.tail1234.ts.net" })).toBe(200);
    const counted = (reason: string): number => rejected.filter((one) => one === reason).length;
    expect([counted("unauthorized"), counted("rate_limited")]).toEqual([21, 2]);
  });

  test("locks out nobody else, and is forgotten over time", () => {
    let time = 0;
    const all = createAttempts(() => time);
    const attempts = {
      failed: (peer: string) => all.failed({ peer, named: "this machine" }),
      isExhausted: (peer: string) => all.isExhausted({ peer, named: "this machine" }),
    };
    for (let guess = 0; guess < 20; guess++) attempts.failed("192.0.2.1");
    for (let guess = 0; guess < 20; guess++) attempts.failed(`2001:db8:0:1::${guess}`);
    expect(attempts.isExhausted("192.0.2.1")).toBe(true);
    expect(attempts.isExhausted("192.0.2.2")).toBe(false);
    expect(all.isExhausted({ peer: "192.0.2.1", named: "another host" })).toBe(false);
    expect(attempts.isExhausted("2001:db8:0:1:ffff::1")).toBe(true);
    expect(attempts.isExhausted("2001:db8:0:2::1")).toBe(false);
    time += 1000;
    expect(attempts.isExhausted("192.0.2.1")).toBe(false);
    attempts.failed("192.0.2.1");
    expect(attempts.isExhausted("192.0.2.1")).toBe(true);
    time += 60_000;
    for (let guess = 0; guess < 19; guess++) attempts.failed("192.0.2.1");
    expect(attempts.isExhausted("192.0.2.1")).toBe(false);
  });

  test("counts all loopback addresses as one machine, because every program on it can use them all", () => {
    const attempts = createAttempts(() => 0);
    for (let guess = 0; guess < 20; guess++) attempts.failed({ peer: `127.0.0.${guess}`, named: "this machine" });
    expect(attempts.isExhausted({ peer: "127.1.2.3", named: "this machine" })).toBe(true);
    expect(attempts.isExhausted({ peer: "127.1.2.3", named: "another host" })).toBe(false);
    expect(attempts.isExhausted({ peer: "192.0.2.1", named: "this machine" })).toBe(false);
  });

  test("from many addresses uses a limited amount of memory", () => {
    const attempts = createAttempts(() => 0);
    const first = { peer: "192.0.2.1", named: "another host" } as const;
    for (let guess = 0; guess < 20; guess++) attempts.failed(first);
    expect(attempts.isExhausted(first)).toBe(true);
    for (let network = 0; network < 4096; network++)
      attempts.failed({ peer: `2001:db8:0:${network.toString(16)}::1`, named: "another host" });
    expect(attempts.isExhausted(first)).toBe(false);
  });
});

describe("a request is foreign", () => {
  const exchangeOf = (headers: Record<string, string>, isLocalOnly: boolean): Exchange =>
    ({ request: { headers: new Headers(headers) }, isLocalOnly }) as unknown as Exchange;
  const here = { host: "127.0.0.1:9091" };

  test.each<[Record<string, string>, boolean, string]>([
    [here, false, "a program"],
    [{ ...here, "sec-fetch-site": "same-origin" }, false, "scripts, styles and event streams of the page itself"],
    [{ ...here, "sec-fetch-site": "same-origin", origin: "http://127.0.0.1:9091" }, false, "what the page posts"],
    [{ ...here, "sec-fetch-site": "none" }, false, "an address that somebody typed"],
    [{ ...here, "sec-fetch-site": "same-site" }, true, "a page at another port of this machine"],
    [{ ...here, "sec-fetch-site": "cross-site" }, true, "a page elsewhere"],
    [{ ...here, "sec-fetch-site": "" }, true, "a header that no browser sends"],
    [{ ...here, origin: "http://127.0.0.1:3000" }, true, "a page at another port, by an old browser"],
    [{ ...here, origin: "null" }, true, "a sandboxed page or a file"],
    [{ ...here, origin: "http://127.0.0.1:9091.evil.example.com" }, true, "a name that begins alike"],
    [{ host: "localhost:9091", origin: "http://127.0.0.1:9091" }, true, "another name of the same place"],
    [{ host: "node.tail1234.ts.net", origin: "https://node.tail1234.ts.net" }, true, "a proxy, on loopback"],
    [{ host: "evil.example.com" }, true, "DNS rebinding"],
    [{ host: "evil.example.com", "sec-fetch-site": "same-origin" }, true, "DNS rebinding, by its own page"],
    [{ host: "127.0.0.1.evil.example.com" }, true, "a name that begins like an address"],
    [{ host: "localhost.evil.example.com:9091" }, true, "a name that begins like this machine"],
    [{ host: "[::1]:9091" }, false, "IPv6"],
    [{ host: "LOCALHOST" }, false, "capitals"],
    [{}, true, "no host"],
  ])("%j: %p (%s)", (headers, expected) => {
    expect(isForeign(exchangeOf(headers, true), "this machine")).toBe(expected);
  });

  test("but not for using another name if a token protects the listener or it is not on loopback", () => {
    const proxied = { host: "node.tail1234.ts.net", origin: "https://node.tail1234.ts.net" };
    expect(isForeign(exchangeOf(proxied, true), "any")).toBe(false);
    expect(isForeign(exchangeOf(proxied, false), "this machine")).toBe(false);
    expect(isForeign(exchangeOf({ ...proxied, origin: "https://evil.example.com" }, true), "any")).toBe(true);
  });
});
