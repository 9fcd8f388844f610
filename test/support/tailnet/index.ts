/**
 * A strict stand-in of Tailscale's control plane on loopback: the calls of the design's table and nothing else. What is not
 * documented is refused: paths, methods, query parameters, fields, content types, scopes, expired tokens.
 *
 * Its sources: the published OpenAPI description of `api/v2` (OpenAPI 3.1.0, as of 2024-09 with the compression formats of
 * 2025) and the official Go client library `tailscale.com/client/tailscale/v2` v2.9.0. Neither says which texts the errors
 * have; those of missing scopes are as users have reported them. What an unconfigured stream's status is, is not said either:
 * zeros here.
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
  /** `example.com` where it is not given; `-` is always answered too. */
  readonly tailnet?: string;
  /** What the control plane takes for the time: tokens, retention, `Date`, signatures. The machine's where it is not given. */
  readonly clock?: Clock;
  /** What the OAuth client may grant; `["all"]` where it is not given. */
  readonly scopes?: readonly string[];
  /** How long a token lives; 3,600 where it is not given. */
  readonly tokenSeconds?: number;
  /** What the plan does not have, or is switched off. */
  readonly without?: readonly Feature[];
}

export interface Tailnet extends AsyncDisposable {
  /** The base address, without a slash at its end. */
  readonly url: string;
  readonly tailnet: string;
  readonly oauth: { readonly clientId: string; readonly clientSecret: string };
  /** A key that may do everything. */
  readonly apiKey: string;

  /** What came, in order, with what was answered. The last 10,000. */
  readonly requests: readonly SeenRequest[];
  readonly tokensGiven: number;
  /** How far its clock is ahead of `clock`, milliseconds. */
  clockAheadMs: number;
  /** Replaces the scopes that new tokens get. */
  grant(scopes: readonly string[]): void;
  /** Every token that is out is refused from now on. */
  expireTokens(): void;
  /** Replaces what the plan does not have. */
  lack(features: readonly Feature[]): void;
  /** Makes the next calls fail that the fault fits. */
  fail(fault: Fault): void;
  /** Forgets the faults that are left. */
  recover(): void;

  /** Records in the order in which they were added: the truth. */
  readonly records: readonly TailnetRecord[];
  /**
   * A flow record as a poll gives it; where it has no `logged`, that is `loggedAt`, else now. A poll shows it from `logged` on
   * (by this clock), for 30 days.
   */
  addFlow(flow: JsonObject, loggedAt?: string): TailnetRecord;
  /** An audit record; `eventTime` and `type` are made up where they are missing. Logged at `loggedAt`, else now; kept 90 days. */
  addAudit(audit: JsonObject, loggedAt?: string): TailnetRecord;
  /** Answers windows of a log from these texts instead: for answers that should not be held. Nothing: from the records again. */
  serveRecords(
    log: LogName,
    source: ((startSeconds: number, endSeconds: number) => Iterable<string>) | undefined,
  ): void;
  devices: readonly TailnetDevice[];

  /** What has been put, token included. */
  stream(log: LogName): ConfiguredStream | undefined;
  /** Pushes to what has been put, as log streaming does. @throws {Error} when nothing has been put. */
  pushStream(log: LogName, options?: PushOptions): Promise<PushReport>;

  readonly webhooks: readonly RegisteredWebhook[];
  /**
   * Reverse proxies by public origin, to be added by the test: a webhook at `https://hooks.example.com` is delivered to
   * `http://127.0.0.1:8088`, with the public name as `Host`.
   */
  readonly proxies: Record<string, string>;
  /** Signs and posts the events to every endpoint that has subscribed to them. `eventOf` makes one. */
  pushWebhook(events: readonly JsonObject[], options?: DeliveryOptions): Promise<readonly Delivery[]>;
  /** Resolves when the test events that were asked for have been delivered or given up. */
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
