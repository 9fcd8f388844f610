/** TLS of the compiled program as other programs see it: curl under load while the certificate is replaced, and openssl's handshakes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type Authority, createAuthority, install } from "../support/certificates.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";

const timeoutMs = 60_000;
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

/** Runs a program to its end without blocking; what goes wrong is in the code. */
function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(command, args, (error, stdout) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout });
    });
    child.stdin?.end();
  });
}

/** Posts so many times over one connection, where the server lets it. The statuses, 000 where there was no answer. */
async function curl(posts: number): Promise<readonly string[]> {
  const flags = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert", authority.file];
  const post = ["--header", `Authorization: Splunk ${program.token}`, "--data-binary", `@${body}`];
  const outputs = Array.from({ length: posts }, () => ["--output", "/dev/null", program.url]).flat();
  const { stdout } = await run("curl", [...flags, ...post, "--write-out", "%{http_code}\n", ...outputs]);
  return stdout.trimEnd().split("\n");
}

async function handshake(...flags: string[]): Promise<string> {
  const address = new URL(program.url).host;
  return (await run("openssl", ["s_client", "-connect", address, "-CAfile", authority.file, ...flags])).stdout;
}

/** The common name in the certificate that a new connection is shown. */
async function served(): Promise<string> {
  return /subject=CN ?= ?(\S+)/.exec(await handshake("-verify_return_error"))?.[1] ?? "nobody";
}

/** How long it takes until new connections are shown this certificate, and then no other. */
async function untilAllSee(name: string): Promise<{ readonly first: number; readonly alone: number }> {
  const beganMs = performance.now();
  const sinceMs = (): number => Math.round(performance.now() - beganMs);
  let first: number | undefined;
  let alone = 0;
  for (let inARow = 0; inARow < 20;) {
    if ((await served()) === name) {
      first ??= sinceMs();
      if (inARow++ === 0) alone = sinceMs();
    } else inARow = 0;
  }
  return { first: first ?? 0, alone };
}

test(
  "curl loses at most one request to each of three certificates that are put in place under load, and sees the new one within 5 s",
  async () => {
    const load = { isOver: false, taken: 0, lost: 0, refused: 0 };
    const sender = async (posts: number): Promise<void> => {
      while (!load.isOver) {
        for (const status of await curl(posts)) {
          if (status === "200") load.taken++;
          else if (status === "000") load.lost++;
          else load.refused++;
        }
      }
    };
    const senders = [sender(1), sender(20)];
    const figures: string[] = [];
    for (let swap = 1; swap <= 3; swap++) {
      const before = { ...load };
      const name = `swap-${swap}`;
      install(authority.issue(name), files);
      const seenMs = await untilAllSee(name);
      const enough = load.taken + 40;
      while (load.taken < enough) expect(await served()).toBe(name);
      const lost = `${load.lost - before.lost} of ${load.taken - before.taken} requests lost`;
      figures.push(
        `  swap ${swap}: the new one is first seen after ${seenMs.first} ms, alone after ${seenMs.alone} ms; ${lost}`,
      );
      expect(seenMs.alone).toBeLessThan(5000);
      expect(load.lost - before.lost).toBeLessThanOrEqual(1);
    }
    load.isOver = true;
    await Promise.all(senders);
    process.stdout.write(`\ncertificates replaced under load\n${figures.join("\n")}\n`);
    expect(load.refused).toBe(0);
    expect(program.output()).not.toContain("is not used");
  },
  timeoutMs,
);

test("openssl gets TLS 1.2 and 1.3, and neither 1.1 nor a cipher without forward secrecy", async () => {
  const lowest = "ALL:@SECLEVEL=0";
  expect(await handshake("-tls1_3")).toContain("New, TLSv1.3, Cipher is TLS_");
  expect(await handshake("-tls1_2")).toMatch(/New, TLSv1\.2, Cipher is ECDHE-\S+-(GCM|POLY1305)/);
  for (const old of ["-tls1", "-tls1_1"]) {
    expect(await handshake(old, "-cipher", lowest)).toContain("New, (NONE), Cipher is (NONE)");
  }
  expect(
    await handshake("-tls1_2", "-cipher", `ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256:${lowest.slice(4)}`),
  ).toContain("Cipher is (NONE)");
});
