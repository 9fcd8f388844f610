/**
 * A strict stand-in for Tailscale's control plane on loopback, with only the API calls the program uses. Anything undocumented
 * is rejected: paths, methods, query parameters, fields, content types, scopes, expired tokens.
 *
 * Its sources: the published OpenAPI description of `api/v2` (OpenAPI 3.1.0, as of 2024-09 with the compression formats of
 * 2025) and the official Go client library `tailscale.com/client/tailscale/v2` v2.9.0. Neither specifies error messages; those
 * for missing scopes are as users have reported them. The status of an unconfigured stream is not specified either; here it is
 * all zeros.
 */
import type { Clock } from "../../../src/lib/clock.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import type { JsonObject } from "../../../src/records/types.ts";
import type { LogName } from "../../../src/tailscale/index.ts";
import { createAccess } from "./access.ts";
import type { TailnetDevice } from "./devices.ts";
import { createFaults, type Fault } from "./faults.ts";
import { createRecords, type TailnetRecord } from "./records.ts";
import { createRoutes, type Feature } from "./routes.ts";
import { type SeenRequest, startApiServer } from "./server.ts";
import { type ConfiguredStream, createStreams, type PushOptions, type PushReport } from "./streams.ts";
import { createWebhooks, type Delivery, type DeliveryOptions, type RegisteredWebhook } from "./webhooks.ts";

export type { TailnetDevice } from "./devices.ts";
export type { Effect, Fault } from "./faults.ts";
export type { TailnetRecord } from "./records.ts";
export type { Feature } from "./routes.ts";
export type { SeenRequest } from "./server.ts";
export type { ConfiguredStream, PushOptions, PushReport } from "./streams.ts";
export { eventOf, type Delivery, type DeliveryOptions, type RegisteredWebhook } from "./webhooks.ts";

export interface TailnetOptions {
  /** `example.com` by default; `-` is always accepted too. */
  readonly tailnet?: string;
  /** The control plane's clock, for tokens, retention, `Date` and signatures. Default: the machine's. */
  readonly clock?: Clock;
  /** Scopes the OAuth client may grant. Default: `["all"]`. */
  readonly scopes?: readonly string[];
  /** Lifetime of a token. Default: 3,600. */
  readonly tokenSeconds?: number;
  /** Features that the plan lacks or that are switched off. */
  readonly without?: readonly Feature[];
}

export interface Tailnet extends AsyncDisposable {
  /** The base URL, without a trailing slash. */
  readonly url: string;
  readonly tailnet: string;
  readonly oauth: { readonly clientId: string; readonly clientSecret: string };
  /** An API key with all permissions. */
  readonly apiKey: string;

  /** Requests with their response status, in order; the last 10,000. */
  readonly requests: readonly SeenRequest[];
  readonly tokensGiven: number;
  /** How far its clock is ahead of `clock`, in milliseconds. */
  clockAheadMs: number;
  /** Replaces the scopes of new tokens. */
  grant(scopes: readonly string[]): void;
  /** Expires all issued tokens. */
  expireTokens(): void;
  /** Replaces the list of missing features. */
  lack(features: readonly Feature[]): void;
  /** Makes the next matching calls fail. */
  fail(fault: Fault): void;
  /** Removes all remaining faults. */
  recover(): void;

  /** All records in the order they were added, as the reference. */
  readonly records: readonly TailnetRecord[];
  /**
   * Adds a flow record as a poll returns it. Its `logged` defaults to `loggedAt`, then to now. A poll returns it from `logged`
   * on (by this clock), for 30 days.
   */
  addFlow(flow: JsonObject, loggedAt?: string): TailnetRecord;
  /**
   * Adds an audit record; a missing `eventTime` or `type` is made up. Logged at `loggedAt`, by default now; kept for 90 days.
   */
  addAudit(audit: JsonObject, loggedAt?: string): TailnetRecord;
  /**
   * Serves a log's windows from these texts instead, so that huge responses need not be held in memory. Without a source, from
   * the records again.
   */
  serveRecords(
    log: LogName,
    source: ((startSeconds: number, endSeconds: number) => Iterable<string>) | undefined,
  ): void;
  devices: readonly TailnetDevice[];

  /** The configured stream, including its token. */
  stream(log: LogName): ConfiguredStream | undefined;
  /** Pushes to the configured stream, as log streaming does. @throws {Error} if none is configured. */
  pushStream(log: LogName, options?: PushOptions): Promise<PushReport>;

  readonly webhooks: readonly RegisteredWebhook[];
  /**
   * Reverse proxies by public origin, added by the test: a webhook at `https://hooks.example.com` is delivered to
   * `http://127.0.0.1:8088`, with the public name as `Host`.
   */
  readonly proxies: Record<string, string>;
  /** Signs and posts the events to every subscribed endpoint. `eventOf` creates one. */
  pushWebhook(events: readonly JsonObject[], options?: DeliveryOptions): Promise<readonly Delivery[]>;
  /** Resolves when all requested test events have been delivered or given up. */
  testsDelivered(): Promise<void>;

  stop(): Promise<void>;
}

export async function startTailnet(options: TailnetOptions = {}): Promise<Tailnet> {
  const { tailnet = "example.com", scopes = ["all"], tokenSeconds = 3600 } = options;
  let clockAheadMs = 0;
  let devices: readonly TailnetDevice[] = [];
  let lacking: readonly Feature[] = options.without ?? [];
  const clock: Clock = () => (options.clock ?? systemClock)() + clockAheadMs;
  const access = createAccess(clock, { scopes, tokenSeconds });
  const records = createRecords(clock);
  const streams = createStreams(clock, records.all);
  const proxies: Record<string, string> = {};
  const webhooks = createWebhooks(clock, proxies);
  const faults = createFaults();
  const handle = createRoutes({
    tailnet,
    access,
    records,
    streams,
    webhooks,
    devices: () => devices,
    lacks: (feature) => lacking.includes(feature),
  });
  const server = await startApiServer({ clock, faults, handle });
  return {
    url: server.url,
    tailnet,
    oauth: { clientId: access.clientId, clientSecret: access.clientSecret },
    apiKey: access.apiKey,
    requests: server.requests,
    get tokensGiven() {
      return access.tokensGiven;
    },
    get clockAheadMs() {
      return clockAheadMs;
    },
    set clockAheadMs(ms) {
      clockAheadMs = ms;
    },
    grant: access.grant,
    expireTokens: access.expireTokens,
    lack(features) {
      lacking = features;
    },
    fail: faults.add,
    recover: faults.clear,
    records: records.all,
    addFlow: (flow, loggedAt) => records.add("network", flow, loggedAt),
    addAudit: (audit, loggedAt) => records.add("configuration", audit, loggedAt),
    serveRecords: records.serve,
    get devices() {
      return devices;
    },
    set devices(list) {
      devices = list;
    },
    stream: streams.configured,
    pushStream: (log, pushOptions = {}) => streams.push(log, pushOptions),
    get webhooks() {
      return webhooks.all;
    },
    proxies,
    pushWebhook: (events, deliveryOptions = {}) => webhooks.push(events, deliveryOptions),
    testsDelivered: webhooks.settled,
    stop: server.stop,
    [Symbol.asyncDispose]: server.stop,
  };
}
