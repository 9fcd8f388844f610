/** `check --online`: everything in the configuration that depends on another machine, a file or a clock. */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { hasCredentials, type Inspection } from "../config/index.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { createTailscaleApi, type TailscaleApi } from "../tailscale/index.ts";
import { build } from "../version.ts";
import { checkApi } from "./check-api.ts";
import { checkJournal, type OnlineFinding } from "./check-finding.ts";
import { checkOtlp } from "./check-otlp.ts";
import { checkCertificates } from "./check-tls.ts";

/** A person is waiting: a server that fails to answer twice within this time counts as unreachable. */
const maxTimeoutMs = 10_000;
const maxAttempts = 2;

/** Checks a configuration without problems. Only reads; all that it sends is an empty export. */
export async function checkOnline({ config }: Inspection): Promise<readonly OnlineFinding[]> {
  const clock = systemClock;
  const timeout = (configured: number): number => Math.min(configured, maxTimeoutMs);
  const { http } = config.tailscale;
  const limits = { ...http, timeout: timeout(http.timeout), max_attempts: Math.min(http.max_attempts, maxAttempts) };
  const deps = { fetch, clock, random: Math.random, logger: silentLogger, telemetry: silentTelemetry };
  const openApi = (scopes?: readonly string[]): TailscaleApi | undefined => {
    if (!hasCredentials(config)) return undefined;
    const { auth } = config.tailscale;
    const narrowed = scopes === undefined ? auth : { ...auth, oauth: { ...auth.oauth, scopes: [...scopes] } };
    return createTailscaleApi({ ...config.tailscale, auth: narrowed, http: limits }, deps);
  };
  const otlp = { ...config.otlp, timeout: timeout(config.otlp.timeout) };
  const findings = await Promise.all([
    checkApi(config, { openApi, clock }),
    checkOtlp({ ...config, otlp }, { fetch, clock, version: build.version }),
    checkCertificates(config, clock),
  ]);
  return [...findings.flat(), checkJournal(config)];
}
