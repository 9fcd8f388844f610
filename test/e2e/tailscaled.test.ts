/**
 * Tests the compiled program with a certificate from tailscaled: without one, the listener stays closed with an explanation;
 * with one, it opens, and SIGHUP renews it.
 */
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { createAuthority } from "../support/certificates.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { launchProgram } from "../support/running-program.ts";
import { startTailscaled } from "../support/tailscaled.ts";
import { timeoutMs, until } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "tailscaled-e2e-"));
const socket = join(directory, "tailscaled.sock");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test(
  "a receiver with tls.tailscale opens as soon as tailscaled gives it a certificate, and serves the next one without a restart",
  async () => {
    const authority = createAuthority(directory);
    const [first, second] = [authority.issue("first"), authority.issue("second")];
    const tailscaled = await startTailscaled(socket, { permits: false, pair: first });
    const program = await launchProgram({
      command: [programBinary()],
      directory,
      endpoint: "",
      encoding: "json",
      isSecure: true,
      settings: { TS2OTEL_STREAMING__TLS__TAILSCALE: "true", TS2OTEL_TAILSCALE__SOCKET: socket },
    });
    await until(() => program.output().includes('"message":"ready"'));
    const ready = await fetch(`${program.admin}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain("has no TLS certificate from tailscaled yet");
    expect(program.output()).toContain("TS_PERMIT_CERT_UID=");
    expect(program.output()).toContain("(closed until there is a TLS certificate)");
    await expect(fetch(program.url)).rejects.toThrow();

    tailscaled.state.permits = true;
    process.kill(program.pid, "SIGHUP");
    await program.healthy();
    expect((await fetch(`${program.admin}/readyz`)).status).toBe(200);
    const served = (): string => {
      const { stdout } = spawnSync("openssl", ["s_client", "-connect", new URL(program.url).host], { input: "" });
      return /subject=CN ?= ?(\S+)/.exec(stdout.toString())?.[1] ?? "nobody";
    };
    expect(served()).toBe("first");
    tailscaled.state.pair = second;
    process.kill(program.pid, "SIGHUP");
    await until(() => served() === "second");
    const answer = await fetch(program.url, {
      method: "POST",
      headers: { authorization: `Splunk ${program.token}` },
      body: flowEnvelope(1),
      tls: { rejectUnauthorized: false },
    });
    expect(answer.status).toBe(200);
    expect(await program.stop()).toBe(0);
    await tailscaled.stop();
  },
  timeoutMs,
);
