/** Reads and sets up what the settings ask for in the tailnet, through the API: devices, log streams, webhook. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { type Config, hasCredentials, readsDevices, subscriptionsOf } from "../config/index.ts";
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { RetryDeps } from "../lib/backoff.ts";
import type { Device } from "../processors/directory.ts";
import type { Failure, LogName, TailnetTrouble, TailscaleApi } from "../tailscale/index.ts";
import { createDeviceRefresh } from "./devices.ts";
import { createLogStreams, logNames, type LogStreams, logStreamTargetOf, publicAddress } from "./log-streams.ts";
import { createWebhookRegistration, type WebhookRegistration } from "./webhook.ts";

export interface TailnetDeps extends RetryDeps {
  /** Absent: nothing is read or set up. */
  readonly api: TailscaleApi | undefined;
  readonly telemetry: Telemetry;
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** Counts the records that the stream receiver has read. */
  readonly ledger: Pick<Ledger, "sum">;
  readonly useDevices: (devices: readonly Device[]) => void;
  /** Sets the secrets that webhook deliveries are verified with. */
  readonly useWebhookSecrets: (secret: string, secretPrevious: string) => void;
}

export type Tailnet = ReturnType<typeof createTailnet>;

const recordTypes = { network: "flow", configuration: "audit" } as const satisfies Record<LogName, string>;

export function createTailnet(started: Config, { api, ...deps }: TailnetDeps) {
  let config = started;
  let isRunning = false;
  const devices =
    api && readsDevices(config)
      ? createDeviceRefresh({ intervalMs: config.collectors.devices.interval }, { ...deps, api, use: deps.useDevices })
      : undefined;
  const streams = createStreams();
  let webhook = createWebhook();

  function createStreams(): LogStreams | undefined {
    const { streaming, collectors } = config;
    if (api === undefined || !streaming.enabled || !streaming.auto_configure) return undefined;
    const received = (log: LogName): number =>
      deps.ledger.sum("tailscale2otel.ingest.records", { source: "stream", signal: recordTypes[log] });
    const isWanted = { network: collectors.flowlogs.enabled, configuration: collectors.auditlogs.enabled };
    const logs = logNames.filter((log) => isWanted[log]);
    return createLogStreams({ logs, target: logStreamTargetOf(config) }, { ...deps, api, received });
  }

  function createWebhook(): WebhookRegistration | undefined {
    const { webhook: settings, state } = config;
    if (api === undefined || !settings.enabled || !settings.auto_configure) return undefined;
    return createWebhookRegistration(
      {
        url: publicAddress(settings.public_url, settings.path),
        subscriptions: subscriptionsOf(settings.subscriptions),
        statePath: state.path,
        isSecretSet: settings.secret !== "",
      },
      { ...deps, api, use: deps.useWebhookSecrets },
    );
  }

  return {
    /** Empty if everything that the settings ask for is set up and read. */
    get troubles(): readonly TailnetTrouble[] {
      const one = (task: TailnetTrouble["task"], { trouble, remedy }: Partial<Failure> = {}) =>
        trouble === undefined ? [] : [{ task, trouble, ...(remedy !== undefined && { remedy }) }];
      return [
        ...(streams?.troubles ?? []),
        ...one("webhook", webhook?.failure),
        ...one("device list", devices?.failure),
      ];
    },
    /** Call before anything is measured, so that devices have names. */
    startDevices: (): void => devices?.start(),
    /** Call before the receivers listen: gives them the stored webhook secret. */
    recall: (): void => webhook?.recall(),
    /** Call once the receivers listen. Runs in the background. */
    start(): void {
      isRunning = true;
      streams?.start();
      webhook?.start();
    },
    /** Applies new credentials, tokens and secrets. */
    reload(next: Config): void {
      if (hasCredentials(next)) api?.useAuth(next.tailscale.auth);
      streams?.useToken(next.streaming.token);
      const { secret } = next.webhook;
      if (!isRunning || (secret === "") === (config.webhook.secret === "")) return;
      config = { ...config, webhook: { ...config.webhook, secret } };
      void webhook?.stop(0);
      webhook = createWebhook();
      webhook?.recall();
      webhook?.start();
    },
    /** Call when a webhook delivery was signed with this secret. */
    signedBy: (secret: string): void => webhook?.signedBy(secret),
    /** Waits up to `deadlineMs` for a request in flight, whose answer may contain a secret. May be called twice. */
    async stop(deadlineMs: number): Promise<void> {
      isRunning = false;
      devices?.stop();
      await Promise.all([streams?.stop(deadlineMs), webhook?.stop(deadlineMs)]);
    },
  };
}
