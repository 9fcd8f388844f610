/** The composition root: creates the components from the settings, starts them in order and stops them in reverse. */
import { tailnetConfigs } from "../config/index.ts";
import type { Logger } from "../lib/logger.ts";
import type { Clock } from "../lib/clock.ts";
import type { Build } from "../version.ts";
import type { EventPage, EventQuery } from "../admin/events/index.ts";
import { adminOptionsOf, createAdmin } from "../admin/index.ts";
import { type Applied, createInstance } from "../admin/instance.ts";
import { createInstanceFile } from "../admin/instance-file.ts";
import type { Overview } from "../admin/overview.ts";
import { observeProcess } from "../export/index.ts";
import { createReceivers, type ReceiverAddresses, type Receivers } from "../receivers/index.ts";
import { openCore } from "./core.ts";

export interface AppDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly build: Build;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  /** Standard output was closed by its reader; with `otlp.protocol = "stdout"` there is nothing left to do. */
  readonly onStdoutClosed: () => void;
  /** The journal is damaged and accepts nothing more; the next start salvages it. Absent: it keeps refusing records. */
  readonly onDamage?: () => void;
}

export interface Stopped {
  /** Records left for the next start to deliver. */
  readonly pending: number;
}

export interface App {
  /** Applies the settings that need no restart: tokens, credentials and certificates. */
  reload(applied: Applied): Promise<void>;
  /** The configuration was to be reloaded, and is invalid: the running one stays, and a metric says so. */
  refuseReload(): void;
  /** Stops intake first; ends within the deadline whatever the backend does. */
  stop(deadlineMs: number): Promise<Stopped>;
  /** What the app listens on. */
  readonly addresses: ReceiverAddresses & { readonly admin?: string };
  overview(): Overview;
  /** A page of accepted events. */
  events(query: EventQuery): Promise<EventPage>;
}

/** The share of the remaining time for requests in flight when stopping. */
const intakeShare = 0.5;

/** Time for requests to the admin listener that are in flight when the program stops. */
const lastAnswersMs = 200;

/**
 * Starts everything, or leaves nothing running.
 * @throws {Error} with one line for the operator.
 */
export async function startApp(started: Applied, deps: AppDeps): Promise<App> {
  const { config } = started;
  const { clock, build } = deps;
  const { version } = build;
  const startedAt = clock();
  let receivers: Receivers | undefined;
  const core = await openCore("", config, {
    ...deps,
    entry: deps.workerEntry,
    version,
    startedAt,
    closed: () => receivers?.closed ?? [],
    useWebhookSecrets: (tailnet, secret, previous) => receivers?.useStoredSecrets(tailnet, secret, previous),
  });
  const { telemetry, logger, leading } = core;
  const shared = { telemetry, logger, clock };
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.build_info", () => [{ value: 1, attributes: { version } }]);
  const endObserving = observeProcess(telemetry);
  const instance = createInstance(started, {
    ...shared,
    build,
    startedAt,
    health: leading.health,
    listeners: () => [...(receivers?.listeners ?? []), ...(config.admin.enabled ? [admin] : [])],
  });
  const admin = createAdmin(adminOptionsOf(config), {
    ...shared,
    ...leading,
    ...core,
    instance: instance.show,
    instanceFile: createInstanceFile(config.state.path, { ...shared, version }),
  });
  try {
    if (config.admin.enabled) await admin.start();
    receivers = createReceivers(config, [core], shared);
    leading.recall();
    await receivers.start();
  } catch (error) {
    core.end();
    endObserving();
    await leading.stopAsking();
    leading.closeFeeds();
    await admin.stop(0);
    await core.close(0);
    throw error;
  }
  leading.begin();

  return {
    get addresses() {
      return config.admin.enabled ? { ...receivers.addresses, admin: admin.address } : receivers.addresses;
    },
    refuseReload: instance.refuse,
    async reload(applied) {
      const { config: next } = applied;
      instance.use(applied);
      await admin.reload(adminOptionsOf(next));
      await receivers.reload(next, tailnetConfigs(next));
      leading.reload(next);
    },
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      core.end();
      await Promise.all([leading.stopAsking(), receivers.stop(deadlineMs * intakeShare)]);
      leading.closeFeeds();
      await admin.stop(lastAnswersMs);
      endObserving();
      return { pending: await core.close(Math.max(0, endsAt - performance.now())) };
    },
    overview: leading.overview,
    events: (query) => leading.events.read(query),
  };
}
