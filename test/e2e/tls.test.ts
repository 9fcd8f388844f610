/**
 * Tests the compiled program's TLS as other programs see it: curl under load while the certificate is replaced, and openssl's
 * handshakes.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type Authority, createAuthority, install } from "../support/certificates.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "tls-e2e-"));
const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
const body = join(directory, "body.json");

let authority: Authority;
let program: RunningProgram;

beforeAll(async () => {
  authority = createAuthority(directory);
  install(authority.issue("swap-0"), files);
  writeFileSync(body, flowEnvelope(1));
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: "",
    encoding: "json",
    isSecure: true,
    settings: { TS2OTEL_STREAMING__TLS__CERT_FILE: files.cert, TS2OTEL_STREAMING__TLS__KEY_FILE: files.key },
  });
}, timeoutMs);

afterAll(async () => {
  expect(await program.stop()).toBe(0);
  rmSync(directory, { recursive: true, force: true });
}, timeoutMs);

interface Ended {
  readonly code: number;
  readonly stdout: string;
}

/** Runs a program to completion without blocking; the exit code reports failures. */
function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(command, args, (error, stdout) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout });
    });
    child.stdin?.end();
  });
}

/** Sends that many posts, over one connection if the server allows it. Returns the statuses, 000 without a response. */
async function curl(posts: number): Promise<readonly string[]> {
  const flags = ["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--cacert", authority.file];
  const post = ["--header", `Authorization: Splunk ${program.token}`, "--data-binary", `@${body}`];
  const outputs = Array.from({ length: posts }, () => ["--output", "/dev/null", program.url]).flat();
  const { stdout } = await run("curl", [...flags, ...post, "--write-out", "%{http_code}\n", ...outputs]);
  return stdout.trimEnd().split("\n");
}

async function handshake(...flags: string[]): Promise<string> {
  const address = new URL(program.url).host;
  return (await run("openssl", ["s_client", "-connect", address, "-CAfile", authority.file, ...flags])).stdout;
}

/** The common name of the certificate that a new connection gets. */
async function served(): Promise<string> {
  return /subject=CN ?= ?(\S+)/.exec(await handshake("-verify_return_error"))?.[1] ?? "nobody";
}

/** Resolves with the elapsed time once every new connection gets this certificate. */
async function untilAllSee(name: string): Promise<number> {
  const beganMs = performance.now();
  let aloneMs = 0;
  for (let inARow = 0; inARow < 20;) {
    if ((await served()) !== name) inARow = 0;
    else if (inARow++ === 0) aloneMs = performance.now() - beganMs;
  }
  return Math.round(aloneMs);
}

const swaps = 3;

test(
  "curl loses at most one request of a sender to each of three certificates that are put in place under load, and then sees the new one alone",
  async () => {
    const load = { isOver: false };
    const startSender = (posts: number) => {
      const counts: Record<string, number> = {};
      const send = async (): Promise<void> => {
        while (!load.isOver) for (const status of await curl(posts)) counts[status] = (counts[status] ?? 0) + 1;
      };
      return { counts, ended: send() };
    };
    const senders = [startSender(1), startSender(20)];
    const taken = (): number => senders.reduce((sum, { counts }) => sum + (counts["200"] ?? 0), 0);
    const figures: string[] = [];
    for (let swap = 1; swap <= swaps; swap++) {
      const name = `swap-${swap}`;
      install(authority.issue(name), files);
      figures.push(`  swap ${swap}: the new one is alone after ${await untilAllSee(name)} ms`);
      const enough = taken() + 40;
      while (taken() < enough) expect(await served()).toBe(name);
    }
    load.isOver = true;
    await Promise.all(senders.map(({ ended }) => ended));
    for (const { counts } of senders) figures.push(`  requests by status, 000 for none: ${JSON.stringify(counts)}`);
    process.stdout.write(`\ncertificates replaced under load\n${figures.join("\n")}\n`);
    for (const { counts } of senders) {
      const { "200": _, "000": lost = 0, ...refused } = counts;
      expect(lost).toBeLessThanOrEqual(swaps);
      expect(refused).toEqual({});
    }
  },
  timeoutMs,
);

test(
  "openssl gets TLS 1.2 and 1.3, and neither 1.1 nor a cipher without forward secrecy",
  async () => {
    const lowest = "ALL:@SECLEVEL=0";
    expect(await handshake("-tls1_3")).toContain("New, TLSv1.3, Cipher is TLS_");
    expect(await handshake("-tls1_2")).toMatch(/New, TLSv1\.2, Cipher is ECDHE-\S+-(GCM|POLY1305)/);
    for (const old of ["-tls1", "-tls1_1"]) {
      expect(await handshake(old, "-cipher", lowest)).toContain("New, (NONE), Cipher is (NONE)");
    }
    expect(
      await handshake("-tls1_2", "-cipher", `ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256:${lowest.slice(4)}`),
    ).toContain("Cipher is (NONE)");
  },
  timeoutMs,
);
