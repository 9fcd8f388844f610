/** Sets up Tailscale's side as far as the settings ask for it: log streams and the webhook. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { subscriptionsOf } from "../config/index.ts";
import type { RecordType } from "../records/types.ts";
import { logStreamTargetOf, wantedLogsOf } from "./log-stream-setting.ts";
import { createLogStreams, type LogStreams } from "./log-streams.ts";
import type { PatienceDeps } from "./patience.ts";
import { publicAddress } from "./public-address.ts";
import { createWebhookKeeper, type WebhookKeeper } from "./webhook-endpoint.ts";
import { memoryPath } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { LogName, TailscaleApi } from "./types.ts";

export interface AutoConfigureDeps extends PatienceDeps {
  readonly api: TailscaleApi;
  readonly telemetry: Telemetry;
  /** Has the counter of records that the stream receiver has taken. */
  readonly ledger: Pick<Ledger, "sum">;
  /** From here on webhook deliveries are checked against these. */
  useSecrets(secret: string, secretPrevious: string): void;
}

export interface AutoConfigure {
  /** Gives the receiver the secret that is known, before it listens. */
  recall(): void;
  /** The receivers listen. Nothing waits for what happens then. */
  start(): void;
  reload(config: Config): void;
  /** A delivery was signed with this secret. */
  signedBy(secret: string): void;
  stop(deadlineMs: number): Promise<void>;
}

const recordTypes: Readonly<Record<LogName, RecordType>> = { network: "flow", configuration: "audit" };

export function createAutoConfigure(started: Config, deps: AutoConfigureDeps): AutoConfigure {
  let config = started;
  const streams = streamsOf(config, deps);
  let webhook = webhookOf(config, deps);
  let isRunning = false;
  return {
    recall() {
      if (webhook !== undefined && config.state.path === memoryPath && config.webhook.secret === "")
        deps.logger.warn("the webhook's secret is kept in memory alone, so each start rotates it", {
          remedy: "Set state.path to a directory.",
        });
      webhook?.recall();
    },
    start() {
      isRunning = true;
      streams?.start();
      webhook?.start();
    },
    reload(next) {
      streams?.useToken(next.streaming.token);
      const { secret } = next.webhook;
      if (!isRunning || (secret === "") === (config.webhook.secret === "")) return;
      config = { ...config, webhook: { ...config.webhook, secret } };
      void webhook?.stop(0);
      webhook = webhookOf(config, deps);
      webhook?.recall();
      webhook?.start();
    },
    signedBy: (secret) => webhook?.signedBy(secret),
    async stop(deadlineMs) {
      isRunning = false;
      await Promise.all([streams?.stop(deadlineMs), webhook?.stop(deadlineMs)]);
    },
  };
}

function streamsOf(config: Config, deps: AutoConfigureDeps): LogStreams | undefined {
  if (!config.streaming.enabled || !config.streaming.auto_configure) return undefined;
  const { ledger } = deps;
  const taken = (log: LogName): number =>
    ledger.sum("tailscale2otel.ingest.records", { source: "stream", type: recordTypes[log] });
  return createLogStreams(
    { logs: wantedLogsOf(config), target: logStreamTargetOf(config), stateDirectory: config.state.path },
    { ...deps, taken },
  );
}

function webhookOf({ webhook, state }: Config, deps: AutoConfigureDeps): WebhookKeeper | undefined {
  if (!webhook.enabled || !webhook.auto_configure) return undefined;
  return createWebhookKeeper(
    {
      url: publicAddress(webhook.public_url, webhook.path),
      subscriptions: subscriptionsOf(webhook.subscriptions),
      stateDirectory: state.path,
      isSecretSet: webhook.secret !== "",
    },
    { ...deps, use: deps.useSecrets },
  );
}
