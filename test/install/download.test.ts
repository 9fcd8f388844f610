/** install.sh from a base address. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox } from "./installer.ts";
import type { Sandbox } from "./installer.ts";
import { startReleaseServer } from "./release-server.ts";
import type { ReleaseServer } from "./release-server.ts";
import { writeRelease } from "./release-folder.ts";

/** Each shell with a downloader that is found beside it. */
const pairs = [
  { shell: "dash", downloader: "curl" },
  { shell: "busybox", downloader: "wget" },
] as const;

for (const { shell, downloader } of pairs) {
  const isMissing = [shell, downloader === "wget" ? "busybox" : downloader].some((tool) => Bun.which(tool) === null);
  describe.skipIf(isMissing && process.env.CI === undefined)(`install.sh under ${shell} with ${downloader}`, () => {
    let sandbox: Sandbox;
    let server: ReleaseServer;
    const binary = () => join(sandbox.directory, "prefix/bin/tailscale2otel");
    const install = (...args: readonly string[]) =>
      sandbox.run(["--prefix", "prefix", ...args], { TS2OTEL_INSTALL_BASE_URL: `${server.url}/` });

    beforeEach(async () => {
      sandbox = createSandbox(shell);
      sandbox.allow(downloader);
      const releases = join(sandbox.directory, "releases");
      for (const version of ["1.2.3", "1.3.0"]) writeRelease({ directory: join(releases, version), version });
      server = await startReleaseServer(releases, "1.3.0");
    });

    afterEach(async () => {
      await server.stop();
      sandbox.stop();
    });

    test("installs the latest version", async () => {
      const { status, output } = await install();
      expect([status, output]).toEqual([0, expect.stringContaining("tailscale2otel 1.3.0 (linux-x64)")]);
      expect(readFileSync(binary(), "utf8")).toContain("1.3.0");
      expect(readdirSync(join(sandbox.directory, "prefix/bin"))).toEqual(["tailscale2otel"]);
    });

    test("installs the version that is asked for", async () => {
      expect((await install("--version", "1.2.3")).status).toBe(0);
      expect(readFileSync(binary(), "utf8")).toContain("1.2.3");
    });

    test("prefers the address of the flag to that of the environment", async () => {
      const { status, output } = await install("--base-url", `${server.url}/nothing-here`);
      expect([status, output]).toEqual([1, expect.stringContaining(`at ${server.url}/nothing-here`)]);
    });

    test("says that there is no such version", async () => {
      const { status, output } = await install("--version", "9.9.9");
      expect([status, output]).toEqual([1, expect.stringContaining(`there is no version 9.9.9 at ${server.url}`)]);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    });

    test("installs nothing of a download that breaks off", async () => {
      server.breakOff();
      expect((await install()).status).toBe(1);
      expect(existsSync(join(sandbox.directory, "prefix"))).toBe(false);
    });
  });
}
