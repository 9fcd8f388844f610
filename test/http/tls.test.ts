import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { ConfigError } from "../../src/errors.ts";
import { jsonResponse } from "../../src/http/exchange.ts";
import { createLimiter } from "../../src/http/limiter.ts";
import type { Handler } from "../../src/http/router.ts";
import { createServedKeyPair, readKeyPair, type ServedKeyPair } from "../../src/http/tls.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import type { Logger } from "../../src/lib/logger.ts";
import { until } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "tls-"));
const certFile = join(directory, "cert.pem");
const keyFile = join(directory, "key.pem");
const fixture = (name: string): string => new URL(`../support/tls/${name}`, import.meta.url).pathname;
const ca = ["first", "second"].map((name) => readFileSync(fixture(`${name}.cert.pem`), "utf8"));

function put(file: string, name: string): void {
  copyFileSync(fixture(name), `${file}.new`);
  renameSync(`${file}.new`, file);
}

let now = Date.now();
let warnings: string[] = [];
const warn: Logger["warn"] = (message) => void warnings.push(message);
const logger: Logger = { debug() {}, info() {}, warn, error: warn };
let server: HttpServer;

beforeEach(() => {
  now = Date.now();
  warnings = [];
  put(certFile, "first.cert.pem");
  put(keyFile, "first.key.pem");
  server = createHttpServer(
    { listen: "127.0.0.1:0", tls: { certFile, keyFile } },
    {
      routes: [{ path: "/", methods: { GET: () => jsonResponse(200, { text: "ok" }), POST: digestOfBody } }],
      logger,
      clock: () => now,
    },
  );
});
afterEach(() => server.stop(0));
afterAll(() => rmSync(directory, { recursive: true }));

const limiter = createLimiter({ maxReading: 99, maxBytes: 1e8, maxWorking: 99 });

const digestOfBody: Handler = async (exchange) => {
  const admission = limiter.enter(exchange.peer);
  const { chunks } = await exchange.readBody({ maxBytes: 1e8, tooLarge: "", timeoutMs: 60_000, admission });
  await new Promise((resolve) => setImmediate(resolve));
  admission.leave();
  return jsonResponse(200, { digest: createHash("sha256").update(Buffer.concat(chunks)).digest("hex") });
};

/** The name in the certificate that a new connection is shown. */
async function served(
  options: { maxVersion?: "TLSv1.1" | "TLSv1.2"; ciphers?: string } = {},
  port = server.port,
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca, ...options }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.end();
    });
    socket.on("error", reject);
  });
}

/** A key pair whose files are watched. */
async function watched(): Promise<ServedKeyPair> {
  const files = { certFile, keyFile };
  const serve = async (): Promise<void> => {};
  const deps = { serve, listen: "127.0.0.1:0", logger, clock: () => now, random: Math.random, fileWatchMs: 20 };
  const pair = createServedKeyPair(files, deps);
  await pair.start();
  return pair;
}

const nameIn = ({ current }: ServedKeyPair): string => new X509Certificate(current?.certificate ?? "").subject;

const get = (): Promise<Response> => fetch(`https://localhost:${server.port}/`, { tls: { ca } });

describe("TLS", () => {
  test("is served from version 1.2 on, with the certificate in the files", async () => {
    expect(server.certificate).toBeUndefined();
    await server.start();
    expect(server.certificate?.current?.subjects).toContain("localhost");
    expect(await (await get()).json()).toEqual({ text: "ok" });
    expect(await served({ maxVersion: "TLSv1.2" })).toBe("first.example.com");
    await expect(served({ maxVersion: "TLSv1.1" })).rejects.toThrow();
  });

  test("delivers bodies unchanged over many connections at once", async () => {
    await server.start();
    const bodies = Array.from({ length: 20 }, (_, place) => randomBytes(1 + place * 50_000));
    const answers = bodies.map(async (body) => {
      const response = await fetch(`https://localhost:${server.port}/`, { method: "POST", body, tls: { ca } });
      return await response.json();
    });
    const digests = bodies.map((body) => ({ digest: createHash("sha256").update(body).digest("hex") }));
    expect(await Promise.all(answers)).toEqual(digests);
  });

  test("is refused for ciphers without forward secrecy or authenticated encryption", async () => {
    await server.start();
    expect(await served({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toBe("first.example.com");
    await expect(served({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" })).rejects.toThrow();
  });

  test("serves a new certificate when the files are replaced, losing at most one request per client", async () => {
    await server.start();
    const { port } = server;
    const load = { isOver: false, answered: 0 };
    const lost = [0, 0, 0, 0];
    const clients = lost.map(async (_, client) => {
      while (!load.isOver) {
        const answer = await get().catch(() => undefined);
        if (answer?.status === 200) load.answered++;
        else lost[client] = (lost[client] ?? 0) + 1;
      }
    });
    put(certFile, "second.cert.pem");
    put(keyFile, "second.key.pem");
    const isNew = async () => (await served().catch(() => "nobody")) === "second.example.com";
    for (let inARow = 0; inARow < 20;) inARow = (await isNew()) ? inARow + 1 : 0;
    const enough = load.answered + 20;
    await until(() => load.answered >= enough);
    load.isOver = true;
    await Promise.all(clients);
    expect(Math.max(...lost)).toBeLessThanOrEqual(1);
    expect(server.port).toBe(port);
    expect(warnings).toEqual([]);
  }, 120_000);

  test("keeps the old certificate, with one warning, when the new key does not match the new certificate", async () => {
    await server.start();
    put(keyFile, "second.key.pem");
    await server.reload({ certFile, keyFile });
    await server.reload({ certFile, keyFile });
    expect(await served()).toBe("first.example.com");
    expect(warnings).toEqual([
      `cannot use the new TLS certificate; still serving the old one: ${keyFile} is not the key of the certificate in ${certFile}`,
    ]);
    put(certFile, "second.cert.pem");
    await server.reload({ certFile, keyFile });
    expect(await served()).toBe("second.example.com");
  });

  test("serves a pair that is replaced one file at a time, without a warning", async () => {
    const pair = await watched();
    put(keyFile, "second.key.pem");
    put(certFile, "second.cert.pem");
    await until(() => nameIn(pair).includes("second.example.com"));
    expect(warnings).toEqual([]);
    await pair.stop();
  });

  test("warns once about an unusable pair, and serves it once it is usable", async () => {
    const pair = await watched();
    put(keyFile, "second.key.pem");
    await until(() => warnings.length > 0);
    expect(pair.trouble).toContain("is not the key of the certificate");
    expect(nameIn(pair)).toContain("first.example.com");
    put(keyFile, "second.key.pem");
    await pair.reload({ certFile, keyFile });
    expect(warnings).toHaveLength(1);
    put(certFile, "second.cert.pem");
    await until(() => nameIn(pair).includes("second.example.com"));
    await pair.stop();
    expect(pair.trouble).toBe("");
    expect(warnings).toHaveLength(1);
  });

  test("keeps the old certificate, with one warning, when the runtime cannot use the new chain", async () => {
    await server.start();
    put(keyFile, "second.key.pem");
    const chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    writeFileSync(certFile, readFileSync(fixture("second.cert.pem"), "utf8") + chain);
    await server.reload({ certFile, keyFile });
    await server.reload({ certFile, keyFile });
    expect(await served()).toBe("first.example.com");
    expect(warnings).toHaveLength(1);
  });

  test("is measured: the validity of the certificate, and whether its replacement was rejected", async () => {
    const gauges = new Map<string, () => readonly { readonly value: number; readonly attributes: object }[]>();
    const telemetry = { ...silentTelemetry, observe: gauges.set.bind(gauges) as Telemetry["observe"] };
    const measured = createHttpServer(
      { listen: "127.0.0.1:0", tls: { certFile, keyFile }, component: "webhook" },
      { routes: [], logger, telemetry },
    );
    await measured.start();
    const attributes = { component: "webhook" };
    const { validFrom, validTo } = new X509Certificate(ca[0] ?? "");
    const [notBefore, notAfter] = [Date.parse(validFrom) / 1000, Date.parse(validTo) / 1000];
    expect(gauges.get("tailscale2otel.tls.cert.not_before")?.()).toEqual([{ value: notBefore, attributes }]);
    expect(gauges.get("tailscale2otel.tls.cert.not_after")?.()).toEqual([{ value: notAfter, attributes }]);
    expect(gauges.get("tailscale2otel.tls.cert.rejected")?.()).toEqual([{ value: 0, attributes }]);
    expect(gauges.get("tailscale2otel.tls.cert.reload.failures")?.()).toEqual([{ value: 0, attributes }]);
    put(keyFile, "second.key.pem");
    await measured.reload({ certFile, keyFile });
    expect(gauges.get("tailscale2otel.tls.cert.rejected")?.()).toEqual([{ value: 1, attributes }]);
    expect(gauges.get("tailscale2otel.tls.cert.reload.failures")?.()).toEqual([{ value: 1, attributes }]);
    await measured.stop(0);
    expect(gauges.get("tailscale2otel.tls.cert.rejected")?.()).toEqual([]);
  });

  test("keeps the old certificate when the new one has expired", async () => {
    await server.start();
    put(certFile, "second.cert.pem");
    put(keyFile, "second.key.pem");
    now = Date.UTC(2200, 0);
    await server.reload({ certFile, keyFile });
    expect(await served()).toBe("first.example.com");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("has expired");
  });

  test("does not start with unusable files, and says which", async () => {
    put(keyFile, "second.key.pem");
    await expect(server.start()).rejects.toThrow(`${keyFile} is not the key of the certificate in ${certFile}`);
    writeFileSync(keyFile, "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n");
    await expect(server.start()).rejects.toThrow(`${keyFile} contains no PEM private key`);
    expect(() => readKeyPair({ certFile: join(directory, "none.pem"), keyFile }, now)).toThrow(
      "none.pem: there is no such file",
    );
    expect(() => readKeyPair({ certFile, keyFile }, now)).toThrow(ConfigError);
    put(keyFile, "first.key.pem");
    expect(() => readKeyPair({ certFile, keyFile }, 0)).toThrow("is not valid before");
  });

  test("says that a port is in use, even by another listener of this process", async () => {
    await server.start();
    const second = createHttpServer(
      { listen: `127.0.0.1:${server.port}`, tls: { certFile, keyFile } },
      { routes: [], logger },
    );
    await expect(second.start()).rejects.toThrow(
      `cannot listen on 127.0.0.1:${server.port}: the address is already in use`,
    );
  });
});
