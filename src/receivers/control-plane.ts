/** What the program does through Tailscale's API: it keeps the directory of devices, polls logs, and sets up what pushes to it. */
import { dirname } from "node:path";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { readsDevices } from "../config/api-use.ts";
import type { Config } from "../config/schema.ts";
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Pipeline } from "../pipeline/types.ts";
import type { NameOptions } from "../processors/names.ts";
import { createAutoConfigure } from "../tailscale/auto-configure.ts";
import { createChangeableApi } from "../tailscale/changeable.ts";
import { createDirectoryRefresh } from "../tailscale/directory-refresh.ts";
import { tailscaleOptionsOf } from "../tailscale/options.ts";
import { createPoller, type PollStatus } from "./poller/index.ts";
import { pollOptionsOf } from "./poller/options.ts";

export interface ControlPlaneDeps {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly pipeline: Pipeline;
  /** Whose directory is kept. */
  readonly names: NameOptions;
  readonly directoryChanged: () => void;
  /** From here on webhook deliveries are judged by these. */
  readonly useWebhookSecrets: (secret: string, secretPrevious: string) => void;
  readonly fetch: typeof fetch;
  readonly random: () => number;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Everything in it does nothing where there are no credentials. */
export interface ControlPlane {
  /** Before anything is measured, so that names are there. */
  startDirectory(): void;
  /** Before the receivers listen: gives them the webhook's secret that is known. */
  recall(): void;
  /** The receivers listen. Nothing waits for what happens then. */
  start(): void;
  /** Credentials, and what Tailscale's side follows from. */
  reload(config: Config): void;
  /** A webhook delivery was signed with this secret. */
  signedBy(secret: string): void;
  readonly polls: readonly PollStatus[];
  /** Waits for a request that is under way, at most `deadlineMs`: its answer may hold a secret. Safe twice. */
  stop(deadlineMs: number): Promise<void>;
}

export function createControlPlane(config: Config, deps: ControlPlaneDeps): ControlPlane {
  const { journal, ledger, pipeline, names, telemetry, logger, clock, random } = deps;
  const options = tailscaleOptionsOf(config);
  const api = options && createChangeableApi(options, { fetch: deps.fetch, clock, random, telemetry, logger });
  const poller =
    api && createPoller(pollOptionsOf(config, journal), { api, pipeline, journal, telemetry, logger, clock });
  const directory =
    api !== undefined && readsDevices(config)
      ? createDirectoryRefresh(
          { intervalMs: config.collectors.devices.interval },
          { api, journal, names, changed: deps.directoryChanged, telemetry, logger, clock },
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
      stateDirectory: dirname(journal.databasePath),
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
