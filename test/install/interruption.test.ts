/** install.sh, interrupted, leaves the old binary or the new one, and nothing else. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createSandbox, isMissing, shells } from "./installer.ts";
import type { Sandbox, Started } from "./installer.ts";
import { outputOf, writeRelease } from "./release-folder.ts";
import { startReleaseServer } from "./release-server.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

for (const shell of shells) {
  describe.skipIf(isMissing(shell))(`install.sh under ${shell}`, () => {
    let sandbox: Sandbox;
    const prefix = () => join(sandbox.directory, "deep/prefix");
    const release = () => join(sandbox.directory, "release");
    const install = () => ["--from", release(), "--prefix", prefix()];
    const installed = () => readFileSync(join(prefix(), "bin/tailscale2otel"), "utf8");

    beforeEach(() => {
      sandbox = createSandbox(shell);
      writeRelease({ directory: release(), version: "1.2.3" });
    });

    afterEach(() => sandbox.stop());

    test.each(signals)("leaves nothing behind after %s during a download", async (signal) => {
      sandbox.allow("curl");
      writeRelease({ directory: join(sandbox.directory, "1.2.3"), version: "1.2.3" });
      const server = await startReleaseServer(sandbox.directory, "1.2.3");
      const isStalled = server.stall();
      const started = sandbox.start(["--base-url", server.url, "--prefix", prefix()]);
      await isStalled;
      started.signal(signal);
      expect((await started.ended).status).not.toBe(0);
      expect(existsSync(join(sandbox.directory, "deep"))).toBe(false);
      await server.stop();
    });

    test.each(signals)("leaves nothing behind after %s while the new binary is tried", async (signal) => {
      const started = await startHanging();
      started.signal(signal);
      expect((await started.ended).status).not.toBe(0);
      expect(existsSync(join(sandbox.directory, "deep"))).toBe(false);
    });

    test("keeps the old binary when it is killed outright, and the next run cleans up", async () => {
      await sandbox.run(install());
      const started = await startHanging();
      started.signal("SIGKILL");
      await started.ended;
      expect(installed()).toContain(outputOf("1.2.3", "linux-x64"));
      expect(readdirSync(join(prefix(), "bin"))).toHaveLength(2);
      writeRelease({ directory: release(), version: "1.4.0" });
      await sandbox.run(install());
      expect(installed()).toContain(outputOf("1.4.0", "linux-x64"));
      expect(readdirSync(join(prefix(), "bin"))).toEqual(["tailscale2otel"]);
    });

    test("installs completely or not at all, wherever it is interrupted", async () => {
      for (let delayMs = 0; delayMs < 40; delayMs += 2) {
        const started = sandbox.start(install());
        await Promise.race([wait(delayMs), started.ended]);
        started.signal("SIGTERM");
        await started.ended;
        if (!existsSync(join(sandbox.directory, "deep"))) continue;
        expect(readdirSync(join(prefix(), "bin"))).toEqual(["tailscale2otel"]);
        expect(installed()).toContain(outputOf("1.2.3", "linux-x64"));
      }
      expect((await sandbox.run(install())).status).toBe(0);
      expect(readdirSync(join(prefix(), "bin"))).toEqual(["tailscale2otel"]);
    });

    /** Starts an installation whose new binary hangs, and resolves once that binary has started. */
    async function startHanging(): Promise<Started> {
      sandbox.allow("sleep");
      const home = join(sandbox.directory, "home");
      writeRelease({ directory: release(), version: "1.3.0", script: () => `: >'${home}/started'; exec sleep 60` });
      const { promise: hasStarted, resolve } = Promise.withResolvers<void>();
      const watcher = watch(home, () => resolve());
      const started = sandbox.start(install());
      await hasStarted;
      watcher.close();
      return started;
    }
  });
}
