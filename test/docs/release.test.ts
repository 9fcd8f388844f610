/** The commands on the pages that make and verify a release, run as written. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { appendFileSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readSigningKey, releaseKeyOf } from "../../scripts/release/folder.ts";
import { writeRelease } from "../install/release-folder.ts";
import { blocksBelow } from "../support/pages.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const root = resolve(import.meta.dirname, "../..");
const releasing = blocksBelow("CONTRIBUTING.md", "## Making a release");
const [verifying = ""] = blocksBelow("docs/install.md", "## Verifying a release");

test.skipIf(Bun.which("openssl") === null)("the commands make a key, and verify a release that it signed", () => {
  const directory = temporaryDirectory();
  const run = (block: string) => spawnSync("sh", ["-ec", block], { cwd: directory, encoding: "utf8" });
  expect(run(releasing[1] ?? "").status).toBe(0);

  const publicText = readFileSync(join(directory, "release-key.pem"), "utf8").trim();
  const installer = readFileSync(join(root, "install.sh"), "utf8").replace(
    /^release_key='[^']*'$/m,
    `release_key='${publicText}'`,
  );
  expect(releaseKeyOf(installer)).toBe(publicText);
  const key = readSigningKey({ TS2OTEL_SIGNING_KEY_FILE: join(directory, "release.key") }, installer);
  if (key === undefined) throw new Error("no key");
  writeRelease({ directory, version: "1.2.3", key });

  const verified = run(verifying);
  expect([verified.status, verified.stdout]).toEqual([0, expect.stringContaining("Verified OK\n")]);
  expect(verified.stdout).toContain("tailscale2otel-1.2.3-linux-x64.gz: OK\n");
  appendFileSync(join(directory, "SHA256SUMS"), "\n");
  expect(run(verifying).status).not.toBe(0);
});

test("the commands of a release exist", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const names = [...(releasing[0] ?? "").matchAll(/ run (\S+)(?: (\S+))?/g)];
  expect(names.length).toBeGreaterThan(3);
  for (const [, script = "", proof] of names) {
    expect(Object.keys(scripts)).toContain(script);
    const usage = spawnSync(process.execPath, ["scripts/prove/index.ts"], { cwd: root, encoding: "utf8" }).stderr;
    if (script === "prove") expect(usage).toContain(`\n  ${proof} `);
  }
});
