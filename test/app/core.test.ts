/** A core that cannot be opened releases its journal to the next one. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCore } from "../../src/app/core.ts";
import type { Config } from "../../src/config/index.ts";
import { ConfigError } from "../../src/errors.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { configWith } from "../export/settings.ts";

test("releases the journal if a certificate cannot be read", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-core-"));
  const config = configWith([`state.path=${directory}`]);
  const { otlp } = config;
  const unreadable: Config = {
    ...config,
    otlp: { ...otlp, endpoint: "https://127.0.0.1:9", tls: { ...otlp.tls, ca_file: join(directory, "none.pem") } },
  };
  const open = (given: Config) =>
    openCore("", given, {
      entry: new URL("../export/worker-entry.ts", import.meta.url),
      version: "1.2.3",
      startedAt: 0,
      logger: silentLogger,
      clock: Date.now,
      closed: () => [],
      onStdoutClosed() {},
      useWebhookSecrets() {},
    });
  await expect(open(unreadable)).rejects.toThrow(ConfigError);
  const core = await open(config);
  await core.close(0);
  rmSync(directory, { recursive: true });
});
