/** install.sh verifies the signature of a release if it can. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readSigningKey, releaseKeyOf } from "../../scripts/release/folder.ts";
import { createSandbox, isMissing, shells } from "./installer.ts";
import type { Ran, Sandbox } from "./installer.ts";
import { createReleaseKey, writeRelease } from "./release-folder.ts";
import { startReleaseServer } from "./release-server.ts";

const root = resolve(import.meta.dirname, "../..");

for (const shell of shells) {
  describe.skipIf(isMissing(shell))(`install.sh under ${shell}`, () => {
    const { key, publicText } = createReleaseKey();
    let sandbox: Sandbox;
    const release = () => join(sandbox.directory, "1.2.3");
    const install = (...args: string[]) => sandbox.run(["--from", release(), "--prefix", "prefix", ...args]);

    /** Puts the key into the script, as a signed release does. */
    function adoptKey(): void {
      const script = join(sandbox.directory, "install.sh");
      const text = readFileSync(script, "utf8").replace(/^release_key='[^']*'$/m, `release_key='${publicText.trim()}'`);
      writeFileSync(script, text);
    }

    function expectNothingInstalled(ran: Ran, reason: string): void {
      expect([ran.status, ran.output]).toEqual([1, expect.stringContaining(reason)]);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    }

    beforeEach(() => {
      sandbox = createSandbox(shell);
      sandbox.allow("openssl");
      writeRelease({ directory: release(), version: "1.2.3", key });
    });

    afterEach(() => sandbox.stop());

    test("verifies the signature with the key inside it", async () => {
      adoptKey();
      expect(await install()).toEqual({ status: 0, output: expect.stringContaining("Verified the signature\n") });
    });

    test("verifies the signature of a download", async () => {
      adoptKey();
      sandbox.allow("curl");
      const server = await startReleaseServer(sandbox.directory, "1.2.3");
      const ran = await sandbox.run(["--prefix", "prefix", "--base-url", server.url]);
      rmSync(join(release(), "SHA256SUMS.sig"));
      const unsigned = await sandbox.run(["--prefix", "other", "--base-url", server.url]);
      await server.stop();
      expect(ran).toEqual({ status: 0, output: expect.stringContaining("Verified the signature\n") });
      expect(unsigned).toEqual({ status: 1, output: expect.stringContaining("version 1.2.3 has no signature") });
    });

    test("verifies with the key that is given instead of the one inside it", async () => {
      adoptKey();
      writeFileSync(join(sandbox.directory, "other.pem"), createReleaseKey().publicText);
      expectNothingInstalled(await install("--key", "other.pem"), "not by the release key");
      expectNothingInstalled(await install("--key", "none.pem"), "there is no file none.pem");
      writeFileSync(join(sandbox.directory, "own.pem"), publicText);
      expect(await install("--key=own.pem")).toEqual({ status: 0, output: expect.stringContaining("Verified") });
    });

    test("refuses checksums signed by somebody else", async () => {
      adoptKey();
      writeRelease({ directory: release(), version: "1.2.3", key: createReleaseKey().key });
      expectNothingInstalled(await install(), "not by the release key");
      expectNothingInstalled(await install("--allow-unsigned"), "not by the release key");
    });

    test("refuses checksums that have changed since they were signed", async () => {
      adoptKey();
      const sums = join(release(), "SHA256SUMS");
      writeFileSync(sums, `${readFileSync(sums, "utf8")}\n`);
      expectNothingInstalled(await install(), "not by the release key");
    });

    test("refuses a release without its signature, unless that is permitted", async () => {
      adoptKey();
      rmSync(join(release(), "SHA256SUMS.sig"));
      expectNothingInstalled(await install(), "has no signature");
      const { status, output } = await install("--allow-unsigned");
      expect([status, output]).toEqual([0, expect.stringContaining("Signature not verified: version 1.2.3 has none")]);
    });

    test("says why it cannot verify", async () => {
      const { status, output } = await install();
      expect([status, output]).toEqual([0, expect.stringContaining("this script contains no release key")]);
      adoptKey();
      sandbox.hide("openssl");
      expect(await install()).toEqual({ status: 0, output: expect.stringContaining("openssl is not installed") });
    });
  });
}

test("the key in the script is the same as the one beside it", () => {
  const file = join(root, "release-key.pem");
  const beside = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  expect(releaseKeyOf(readFileSync(join(root, "install.sh"), "utf8"))).toBe(beside);
});

describe("the signing key", () => {
  const { key, publicText } = createReleaseKey();
  const pem = key.export({ type: "pkcs8", format: "pem" }).toString();
  const installer = (text: string) => `release_key='${text.trim()}'\n`;

  test("comes from the environment, as text or as a file", () => {
    expect(readSigningKey({}, installer(""))).toBeUndefined();
    expect(readSigningKey({ TS2OTEL_SIGNING_KEY: pem }, installer(publicText))?.equals(key)).toBe(true);
    const env = { TS2OTEL_SIGNING_KEY_FILE: "/nowhere/release.key" };
    expect(() => readSigningKey(env, installer(""))).toThrow(
      /^cannot read TS2OTEL_SIGNING_KEY_FILE: .*\/nowhere\/release\.key/,
    );
  });

  test("is the one that install.sh verifies with", () => {
    const read = () => readSigningKey({ TS2OTEL_SIGNING_KEY: pem }, installer(createReleaseKey().publicText));
    expect(read).toThrow("not the key that install.sh verifies with");
  });

  test("is a P-256 key that is not encrypted", () => {
    const made = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" }).stdout;
    const read = (text: string) => () => readSigningKey({ TS2OTEL_SIGNING_KEY: text }, installer(""));
    expect(read(made("genpkey", "-algorithm", "ed25519"))).toThrow("must be a P-256 key");
    expect(read("nonsense")).toThrow("no private key in PEM");
  });
});
