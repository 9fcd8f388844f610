/** What the program does through Tailscale's API: refresh the device directory, poll logs, and set up log streams and the webhook. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { readsDevices } from "../config/index.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { createChangeableApi } from "../tailscale/changeable.ts";
import { tailscaleOptionsOf } from "../tailscale/options.ts";
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Pipeline } from "../pipeline/index.ts";
import type { Device } from "../processors/names.ts";
import { createAutoConfigure } from "../tailscale/auto-configure.ts";
import { createDirectoryRefresh } from "../tailscale/directory-refresh.ts";
import { createPoller, type PollStatus } from "./poller/index.ts";

export interface ControlPlaneDeps {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly pipeline: Pipeline;
  /** From here on, these devices are the directory. */
  readonly useDevices: (devices: readonly Device[]) => void;
  /** From here on webhook deliveries are checked against these. */
  readonly useWebhookSecrets: (secret: string, secretPrevious: string) => void;
  readonly fetch: typeof fetch;
  readonly random: () => number;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Without credentials for the API, nothing in it does anything. */
export interface ControlPlane {
  /** Before anything is measured, so that names are there. */
  startDirectory(): void;
  /** Before the receivers listen: gives them the webhook secret that is stored. */
  recall(): void;
  /** The receivers listen. Nothing waits for what happens then. */
  start(): void;
  /** Takes over new credentials, tokens and secrets. */
  reload(config: Config): void;
  /** A webhook delivery was signed with this secret. */
  signedBy(secret: string): void;
  readonly polls: readonly PollStatus[];
  /** Waits for a request that is under way, at most `deadlineMs`: its answer may hold a secret. Safe twice. */
  stop(deadlineMs: number): Promise<void>;
}

export function createControlPlane(config: Config, deps: ControlPlaneDeps): ControlPlane {
  const { journal, ledger, pipeline, telemetry, logger, clock, random } = deps;
  const options = tailscaleOptionsOf(config);
  const api = options && createChangeableApi(options, { fetch: deps.fetch, clock, random, telemetry, logger });
  const poller = api && createPoller(config, { api, pipeline, journal, telemetry, logger, clock });
  const directory =
    api !== undefined && readsDevices(config)
      ? createDirectoryRefresh(
          { intervalMs: config.collectors.devices.interval },
          { api, journal, use: deps.useDevices, telemetry, logger, clock },
        )
      : undefined;
  const registration =
    api &&
    createAutoConfigure(config, {
      api,
      ledger,
      telemetry,
      logger,
      clock,
      random,
      useSecrets: deps.useWebhookSecrets,
    });
  return {
    startDirectory: () => directory?.start(),
    recall: () => registration?.recall(),
    start() {
      registration?.start();
      poller?.start();
    },
    reload(next) {
      const changed = tailscaleOptionsOf(next);
      if (changed !== undefined) api?.useAuth(changed.auth);
      registration?.reload(next);
    },
    signedBy: (secret) => registration?.signedBy(secret),
    get polls() {
      return poller?.status ?? [];
    },
    async stop(deadlineMs) {
      directory?.stop();
      await Promise.all([poller?.stop(), registration?.stop(deadlineMs)]);
    },
  };
}
