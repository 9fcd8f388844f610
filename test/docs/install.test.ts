/** The page's commands that install a release, run against a release folder and server of this test. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createSandbox, isMissing } from "../install/installer.ts";
import { writeRelease } from "../install/release-folder.ts";
import { startReleaseServer } from "../install/release-server.ts";
import { blocksOf } from "../support/pages.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const page = "docs/install.md";
const version = "0.1.0";
const releases = temporaryDirectory();
writeRelease({ directory: join(releases, version), version });
const server = await startReleaseServer(releases, version);
afterAll(() => server.stop());

test.skipIf(isMissing("dash"))("each command does what its comment says", async () => {
  const block = blocksOf(page).find(({ text }) => text.startsWith("sh install.sh"))?.text ?? "";
  const commands = [...block.matchAll(/^sh install\.sh *([^#\n]*)/gm)].map(([, words = ""]) => words.trim());
  const sandbox = createSandbox("dash");
  sandbox.allow("curl");
  const folder = join(sandbox.directory, "dist/release");
  mkdirSync(join(sandbox.directory, "dist"));
  writeRelease({ directory: folder, version });
  for (const path of [sandbox.directory, join(sandbox.directory, "dist"), folder]) chmodSync(path, 0o755);
  const prefix = join(sandbox.directory, "home/.local");
  const words = commands.map((command) =>
    command
      .split(" ")
      .filter((word) => word !== "")
      .map((word) => word.replace('"$HOME/.local"', prefix)),
  );
  expect(words).toEqual([
    [],
    ["--version", version],
    ["--prefix", prefix],
    ["--from", "dist/release"],
    ["--uninstall"],
  ]);
  for (const args of words) {
    const isLocal = args.includes("--from") || args.includes("--uninstall");
    const ran = await sandbox.runAsStranger([...args, ...(isLocal ? [] : ["--base-url", server.url])]);
    expect([args, ran.status, ran.output]).toEqual([
      args,
      0,
      expect.stringContaining(
        args.includes("--uninstall") ? "Removed " : `Installed tailscale2otel ${version}`,
      ) as string,
    ]);
  }
  sandbox.stop();
});
