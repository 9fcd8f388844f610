/** The composition root: creates the components from the settings, starts them in order and stops them in reverse. */
import { type Config, tailnetConfigs } from "../config/index.ts";
import { type Logger, namedLogger } from "../lib/logger.ts";
import type { Clock } from "../lib/clock.ts";
import { Unavailable } from "../errors.ts";
import type { Build } from "../version.ts";
import type { EventPage, EventQuery } from "../admin/events/index.ts";
import { adminOptionsOf, createAdmin } from "../admin/index.ts";
import { type Applied, createInstance } from "../admin/instance.ts";
import { createInstanceFile } from "../admin/instance-file.ts";
import { troublesOfAll } from "../admin/troubles.ts";
import type { Overview } from "../admin/overview.ts";
import { mergePages, observeProcess } from "../export/index.ts";
import { createReceivers, type ReceiverAddresses, type Receivers } from "../receivers/index.ts";
import { type Core, type CoreDeps, openCore } from "./core.ts";

export interface AppDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly build: Build;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  /** Called when the reader of standard output closes it; with `otlp.protocol = "stdout"` there is nothing left to do. */
  readonly onStdoutClosed: () => void;
  /** Called when the journal is damaged and accepts nothing more; the next start salvages it. Absent: records are refused. */
  readonly onDamage?: () => void;
}

export interface Stopped {
  /** Records left for the next start to deliver. */
  readonly pending: number;
}

export interface App {
  /** Applies the settings that need no restart: tokens, credentials and certificates. */
  reload(applied: Applied): Promise<void>;
  /** Reports that a reload failed because the configuration is invalid: the running one stays, and a metric says so. */
  refuseReload(): void;
  /** Stops intake first; ends within the deadline, whatever the backend does. */
  stop(deadlineMs: number): Promise<Stopped>;
  /** What the app listens on. */
  readonly addresses: ReceiverAddresses & { readonly admin?: string };
  /** Covers the first tailnet only, like `events`. @throws {Unavailable} while another instance leads. */
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
  const cores = await openCores(config, {
    ...deps,
    entry: deps.workerEntry,
    version,
    startedAt,
    closed: () => receivers?.closed ?? [],
    useWebhookSecrets: (tailnet, secret, previous) => receivers?.useStoredSecrets(tailnet, secret, previous),
  });
  const [core] = cores;
  const { processTelemetry: telemetry } = core;
  const shared = { telemetry, logger: core.logger, clock };
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.build_info", () => [{ value: 1, attributes: { version } }]);
  const endObserving = observeProcess(telemetry);
  const instance = createInstance(started, {
    ...shared,
    build,
    startedAt,
    troubles: () => troublesOfAll(cores.map(({ name, health }) => ({ name, health: health() }))),
    listeners: () => [...(receivers?.listeners ?? []), ...(config.admin.enabled ? [admin] : [])],
  });
  const admin = createAdmin(adminOptionsOf(config), {
    ...shared,
    tailnets: cores,
    scrape: async () => (cores.length === 1 ? core.scrape() : mergePages(await ofEach(cores, (one) => one.scrape()))),
    instance: instance.show,
    instanceFile: createInstanceFile(config.state.path, { ...shared, version }),
  });
  try {
    if (config.admin.enabled) await admin.start();
    receivers = createReceivers(config, cores, shared);
    for (const one of cores) one.recall();
    await receivers.start();
  } catch (error) {
    for (const one of cores) one.end();
    endObserving();
    await ofEach(cores, (one) => one.stopAsking(0));
    for (const one of cores) one.closeFeeds();
    await admin.stop(0);
    await ofEach(cores, (one) => one.close(0));
    throw error;
  }
  for (const one of cores) one.begin();

  return {
    get addresses() {
      return config.admin.enabled ? { ...receivers.addresses, admin: admin.address } : receivers.addresses;
    },
    refuseReload: instance.refuse,
    async reload(applied) {
      const { config: next } = applied;
      instance.use(applied);
      await admin.reload(adminOptionsOf(next));
      const tailnets = tailnetConfigs(next);
      await receivers.reload(next, tailnets);
      for (const { name, config: own } of tailnets) cores.find((one) => one.name === name)?.reload(own);
    },
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      for (const one of cores) one.end();
      await Promise.all([
        ofEach(cores, (one) => one.stopAsking(deadlineMs * intakeShare)),
        receivers.stop(deadlineMs * intakeShare),
      ]);
      for (const one of cores) one.closeFeeds();
      await admin.stop(lastAnswersMs);
      endObserving();
      const left = await ofEach(cores, (one) => one.close(Math.max(0, endsAt - performance.now())));
      return { pending: left.reduce((sum, pending) => sum + pending, 0) };
    },
    overview: () => viewsOf(core).overview(),
    events: (query) => viewsOf(core).events.read(query),
  };
}

function viewsOf({ leading }: Core): NonNullable<Core["leading"]> {
  if (leading === undefined) throw new Unavailable("another instance leads");
  return leading;
}

function ofEach<Result>(cores: readonly Core[], work: (core: Core) => Promise<Result>): Promise<readonly Result[]> {
  return Promise.all(cores.map(work));
}

/** Opens one core per tailnet, or none if one fails. @throws what `openCore` throws. */
async function openCores(config: Config, deps: CoreDeps): Promise<readonly [Core, ...Core[]]> {
  if (config.tailnet.length === 0) return [await openCore("", config, deps)];
  const opened: Core[] = [];
  try {
    for (const [index, { name, config: own }] of tailnetConfigs(config).entries()) {
      const place = index === 0 ? "first" : "further";
      opened.push(await openCore(name, own, { ...deps, place, logger: namedLogger(deps.logger, { tailnet: name }) }));
    }
  } catch (error) {
    await ofEach(opened, (one) => one.close(0));
    throw error;
  }
  return opened as [Core, ...Core[]];
}
