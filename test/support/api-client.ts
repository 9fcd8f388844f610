/** A client of Tailscale's API for tests, which records its waits and metrics instead of waiting. */
import type { Telemetry } from "../../src/catalogue/telemetry.ts";
import type { Clock } from "../../src/lib/clock.ts";
import type { Logger } from "../../src/lib/logger.ts";
import type { Config } from "../../src/config/index.ts";
import { type ClientDeps, createTailscaleApi, type TailscaleApi } from "../../src/tailscale/index.ts";

export type TailscaleAuth =
  | {
      readonly kind: "oauth";
      readonly clientId: string;
      readonly clientSecret: string;
      readonly scopes: readonly string[];
    }
  | { readonly kind: "apikey"; readonly key: string };

/** Limits of one attempt; the defaults of the settings if absent. */
export interface HttpOptions {
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly rateLimit: number;
}

/** The `tailscale` section of the settings. */
export function tailscaleSettings(options: {
  readonly url: string;
  readonly tailnet?: string | undefined;
  readonly auth: TailscaleAuth;
  readonly http?: Partial<HttpOptions> | undefined;
}): Config["tailscale"] {
  const { url, tailnet = "-", auth, http } = options;
  const { timeoutMs = 30_000, maxAttempts = 4, rateLimit = 0 } = http ?? {};
  return {
    socket: "",
    base_url: url,
    tailnet,
    auth: authSettings(auth),
    http: { timeout: timeoutMs, max_attempts: maxAttempts, rate_limit: rateLimit },
  };
}

export function authSettings(auth: TailscaleAuth): Config["tailscale"]["auth"] {
  if (auth.kind === "apikey") return { apikey: auth.key, oauth: { client_id: "", client_secret: "", scopes: [] } };
  return {
    apikey: "",
    oauth: { client_id: auth.clientId, client_secret: auth.clientSecret, scopes: [...auth.scopes] },
  };
}

export interface ApiClient {
  readonly api: TailscaleApi;
  /** Waits between attempts, in milliseconds. */
  readonly waits: readonly number[];
  /** `endpoint status` for each counted request. */
  readonly counted: readonly string[];
  readonly retried: readonly string[];
  /** Number of requests whose duration was recorded. */
  readonly durations: number;
  /** The whole log as text. */
  readonly log: string;
}

export interface ApiClientOptions {
  readonly url: string;
  readonly tailnet?: string;
  readonly auth: TailscaleAuth;
  readonly http?: Partial<HttpOptions>;
  readonly clock?: Clock;
  /** Default: 1 − ε, for the longest waits. */
  readonly random?: () => number;
  readonly fetch?: ClientDeps["fetch"];
  readonly sleep?: ClientDeps["sleep"];
}

export function apiClient(options: ApiClientOptions): ApiClient {
  const waits: number[] = [];
  const counted: string[] = [];
  const retried: string[] = [];
  const lines: string[] = [];
  let durations = 0;
  const telemetry: Telemetry = {
    add(metric, _value, attributes) {
      const { endpoint, "http.response.status_code": status } = attributes as Record<string, string>;
      if (metric === "tailscale2otel.api.requests") counted.push(`${endpoint} ${status}`);
      if (metric === "tailscale2otel.api.retries") retried.push(`${endpoint} ${status}`);
    },
    record(metric) {
      if (metric === "tailscale2otel.api.duration") durations++;
    },
    observe() {},
  };
  const line: Logger["info"] = (message, fields) => void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const api = createTailscaleApi(tailscaleSettings(options), {
    fetch: options.fetch ?? fetch,
    clock: options.clock ?? Date.now,
    random: options.random ?? (() => 1 - Number.EPSILON),
    telemetry,
    logger: { debug: line, info: line, warn: line, error: line },
    sleep:
      options.sleep ??
      ((ms) => {
        waits.push(Math.round(ms));
        return Promise.resolve();
      }),
  });
  return {
    api,
    waits,
    counted,
    retried,
    get durations() {
      return durations;
    },
    get log() {
      return lines.join("\n");
    },
  };
}

/** The error a call fails with. @throws {Error} if it succeeds. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call did not fail");
}
