/** `check --online`: everything in the settings that depends on another machine, a file or a clock. */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { checkApi } from "./check-api.ts";
import { checkJournal, type OnlineFinding } from "./check-finding.ts";
import { checkCertificates } from "./check-tls.ts";
import type { Inspection } from "../config/index.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { createTailscaleApi } from "../tailscale/index.ts";
import { tailscaleOptionsOf } from "../tailscale/options.ts";
import type { TailscaleApi } from "../tailscale/types.ts";
import { build } from "../version.ts";
import { checkOtlp } from "./check-otlp.ts";

/** A person waits: a service that does not answer twice in this time counts as unreachable. */
const maxTimeoutMs = 10_000;
const maxAttempts = 2;

/** Checks a configuration without problems. Only reads; all that it sends is an empty export. */
export async function checkOnline({ config }: Inspection): Promise<readonly OnlineFinding[]> {
  const clock = systemClock;
  const openApi = (scopes?: readonly string[]): TailscaleApi | undefined => {
    const options = tailscaleOptionsOf(config);
    if (options === undefined) return undefined;
    const { auth, http } = options;
    const hurried = {
      ...http,
      timeoutMs: Math.min(http.timeoutMs, maxTimeoutMs),
      maxAttempts: Math.min(http.maxAttempts, maxAttempts),
    };
    const asked = auth.kind === "oauth" && scopes !== undefined ? { ...auth, scopes } : auth;
    return createTailscaleApi(
      { ...options, auth: asked, http: hurried },
      { fetch, clock, random: Math.random, logger: silentLogger, telemetry: silentTelemetry },
    );
  };
  const otlp = { ...config.otlp, timeout: Math.min(config.otlp.timeout, maxTimeoutMs) };
  const findings = await Promise.all([
    checkApi(config, { openApi, clock }),
    checkOtlp({ ...config, otlp }, { fetch, clock, version: build.version }),
    checkCertificates(config, clock),
  ]);
  return [...findings.flat(), checkJournal(config)];
}
