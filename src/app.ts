/** The composition root: creates the components from the settings, starts them in order and stops them in reverse. */
import { silentTelemetry, type Telemetry } from "./catalogue/telemetry.ts";
import { hasCredentials } from "./config/index.ts";
import { attempt, type Logger, teeLogger } from "./lib/logger.ts";
import type { Clock } from "./lib/clock.ts";
import type { Build } from "./version.ts";
import { EventFeed, type EventPage, type EventQuery } from "./admin/events/index.ts";
import { adminOptionsOf, createAdmin } from "./admin/index.ts";
import { type Applied, createInstance } from "./admin/instance.ts";
import { createInstanceFile } from "./admin/instance-file.ts";
import { destinationStatuses, whyNoDestination } from "./admin/destinations.ts";
import { createOperations, type OperationsDeps } from "./admin/operations.ts";
import { Live } from "./admin/live.ts";
import { createOverview, type Overview } from "./admin/overview.ts";
import { resumeRedeliveries } from "./admin/redeliveries.ts";
import { type Health, notReadyReasons, type Status, statusOf } from "./admin/status.ts";
import { createTraffic } from "./admin/traffic/index.ts";
import { createExporter, observeProcess, useDestinations } from "./export/index.ts";
import { openSqliteJournal, primaryDestination } from "./journal/index.ts";
import { startFolding } from "./ledger/folding.ts";
import { Ledger } from "./ledger/index.ts";
import { Counting } from "./pipeline/counting.ts";
import { createPipeline, createRetry } from "./pipeline/index.ts";
import { createFirstReport, observeStore } from "./pipeline/observe.ts";
import { EdgeBook } from "./processors/edges.ts";
import { EndBook } from "./processors/ends.ts";
import { directoryOf, processorSettingsOf } from "./processors/index.ts";
import { createReceivers, type ReceiverAddresses, type Receivers } from "./receivers/index.ts";
import { createPoller } from "./receivers/poller/index.ts";
import { createTailnet } from "./tailnet/index.ts";
import { createTailscaleApi } from "./tailscale/index.ts";

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

/** Shares of the remaining time when stopping: for requests in flight, and then for one last delivery of logs. */
const intakeShare = 0.5;
const lastLogsShare = 0.5;

/** Time for a request to Tailscale's API that is in flight when the program stops: its answer may contain a secret. */
const lastRequestMs = 2000;

/** Time for requests to the admin listener that are in flight when the program stops. */
const lastAnswersMs = 200;

/**
 * Starts everything, or leaves nothing running.
 * @throws {Error} with one line for the operator.
 */
export async function startApp(started: Applied, deps: AppDeps): Promise<App> {
  const { config } = started;
  const { clock, build } = deps;
  const startedAt = clock();
  let telemetry: Telemetry = silentTelemetry;
  const journal = openSqliteJournal(config, {
    telemetry: {
      ...silentTelemetry,
      record: (metric, value, attributes) => telemetry.record(metric, value, attributes),
    },
    logger: deps.logger,
    clock,
    ...(deps.onDamage === undefined ? {} : { onDamage: deps.onDamage }),
  });
  const firstSeq = journal.lastSeq;
  const settings = processorSettingsOf(config, journal.identity);
  const ledger = new Ledger(config, { journal, logger: deps.logger });
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const exporter = createExporter(
    config,
    { settings, instanceId: journal.identity.instanceId, version: build.version, location: journal.location },
    {
      entry: deps.workerEntry,
      journal,
      clock,
      random: Math.random,
      logger: deps.logger,
      shown: () => ledger.shown,
      onProgress: (progress, destination) => journal.progress(progress, destination),
      onRedelivered: (progress, destination) => journal.progress({ redelivered: [progress] }, destination),
      onPoints(points, destination) {
        for (const [outcome, count] of Object.entries(points) as [keyof typeof points, number][])
          ledger.count("tailscale2otel.export.datapoints", { outcome, ...destination }, count);
      },
      onDamage: (reason) => journal.damaged(reason),
      onStdoutClosed: deps.onStdoutClosed,
    },
  );
  telemetry = exporter.telemetry;
  const logger = teeLogger(deps.logger, exporter.selfLog);
  const events = new EventFeed({ journal, settings, telemetry, clock });
  const counting = new Counting({ journal, ledger, settings, ...books, logger });
  const traffic = createTraffic({ journal, ledger, counting, settings, pace: events.pace, telemetry, clock, logger });
  const live = new Live({ overview: () => overview(), traffic, events, journal, telemetry });
  const reportFirst = createFirstReport(logger);
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    telemetry,
    committed(batch) {
      exporter.committed(batch);
      counting.committed(batch);
      reportFirst(batch);
      events.committed();
      live.committed(batch);
    },
    keepsText: () => exporter.wantsText,
  });
  const shared = { journal, ledger, pipeline, telemetry, logger, clock, random: Math.random };
  let receivers: Receivers | undefined;
  const api = hasCredentials(config) ? createTailscaleApi(config.tailscale, { ...shared, fetch }) : undefined;
  const poller = createPoller(config, { ...shared, api });
  const tailnet = createTailnet(config, {
    ...shared,
    api,
    useDevices(devices) {
      settings.directory.current = directoryOf(devices);
      exporter.directoryChanged();
    },
    useWebhookSecrets: (secret, previous) => receivers?.useStoredSecrets(secret, previous),
  });
  tailnet.startDevices();
  useDestinations(config, { journal, logger, move: exporter.move });
  const { cursor, destinations, lastSeq: committedSeq, pendingRecords } = journal;
  exporter.start({ cursor, destinations, committedSeq, pendingRecords });
  let stopFolding = (): void => undefined;
  observeStore(config, { ...shared, ...books });
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.build_info", () => [{ value: 1, attributes: { version: build.version } }]);
  const endObserving = observeProcess(telemetry);

  /** Runs while records are already accepted: the port opens before the counters are restored. */
  const ending = new AbortController();
  async function restoreCounters(): Promise<void> {
    const beganAt = performance.now();
    while (!ending.signal.aborted && !counting.step()) await new Promise((resolve) => setImmediate(resolve));
    if (ending.signal.aborted) return;
    const { rows, ...restored } = counting.progress;
    if (rows > 0) logger.info("counters restored", { rows, ...restored, ms: Math.round(performance.now() - beganAt) });
    traffic.start();
    stopFolding = startFolding(config.otlp.metric_interval, {
      ...shared,
      firstSeq,
      folded: (fold) => void exporter.folded(fold),
    });
  }

  const endWithoutIntake = async (deadlineMs: number): Promise<Stopped> => {
    const endsAt = performance.now() + deadlineMs;
    const remainingMs = (): number => Math.max(0, endsAt - performance.now());
    stopFolding();
    endObserving();
    await exporter.stopLogs(remainingMs() * lastLogsShare);
    if (counting.isCaughtUp) {
      await ledger.fold(clock()).then(
        (fold) => exporter.folded(fold),
        (error: unknown) =>
          logger.warn("cannot commit the last counters; the next start restores what the journal still holds", {
            reason: error instanceof Error ? error.message : String(error),
          }),
      );
    }
    await exporter.stop(remainingMs());
    counting.close();
    const pending = journal.pendingRecords;
    attempt("cannot close the journal", logger, () => journal.close());
    return { pending };
  };
  const health = (): Health => ({
    notReady: [...notReadyReasons(journal, ending.signal.aborted), ...(receivers?.closed ?? [])],
    export: exporter.health,
    destinations: destinationStatuses(journal, exporter.further),
    polls: poller.status,
    tailnet: tailnet.troubles,
  });
  const instance = createInstance(started, {
    ...shared,
    build,
    startedAt,
    health,
    listeners: () => [...(receivers?.listeners ?? []), ...(config.admin.enabled ? [admin] : [])],
  });
  const operationsDeps: OperationsDeps = {
    journal,
    retryRecord: createRetry(pipeline, journal, clock),
    privacy: settings.privacy,
    clock,
    cannotSend(destination = primaryDestination) {
      if (destination !== primaryDestination || exporter.deliversLogs) return whyNoDestination(journal, destination);
      return `logs are not exported, so there is nothing to repeat: set ${config.otlp.logs.enabled ? "otlp.endpoint" : "otlp.logs.enabled = true"}`;
    },
    redeliver: exporter.redeliver,
    troubleOf: exporter.redeliveryTrouble,
  };
  const status = (): Status & Health => ({
    ...statusOf({
      ...operationsDeps,
      ledger,
      counting,
      dedup: config.dedup,
      version: build.version,
      statePath: config.state.path,
      notReady: () => health().notReady,
      lastSuccess: () => exporter.lastSuccess,
    }),
    ...health(),
  });
  resumeRedeliveries(operationsDeps, logger);
  const overview = createOverview({ status, ledger, clock, startedAt });
  const admin = createAdmin(adminOptionsOf(config), {
    ...shared,
    health,
    scrape: () => exporter.scrape(),
    status,
    overview,
    instance: instance.show,
    events,
    traffic,
    live,
    operations: createOperations(operationsDeps),
    instanceFile: createInstanceFile(config.state.path, { version: build.version, clock, logger }),
  });
  try {
    if (config.admin.enabled) await admin.start();
    receivers = createReceivers(config, { ...shared, webhookSignedBy: tailnet.signedBy });
    tailnet.recall();
    await receivers.start();
    tailnet.start();
    poller.start();
  } catch (error) {
    ending.abort();
    await tailnet.stop(0);
    events.close();
    await admin.stop(0);
    await endWithoutIntake(0);
    throw error;
  }
  const restoring = restoreCounters();

  return {
    get addresses() {
      return config.admin.enabled ? { ...receivers.addresses, admin: admin.address } : receivers.addresses;
    },
    refuseReload: instance.refuse,
    async reload(applied) {
      const { config: next } = applied;
      instance.use(applied);
      await admin.reload(adminOptionsOf(next));
      await receivers.reload(next);
      tailnet.reload(next);
      exporter.useCredentials(next);
    },
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      ending.abort();
      await Promise.all([
        poller.stop(lastRequestMs),
        tailnet.stop(lastRequestMs),
        receivers.stop(deadlineMs * intakeShare),
        restoring,
      ]);
      events.close();
      traffic.stop();
      await admin.stop(lastAnswersMs);
      return endWithoutIntake(Math.max(0, endsAt - performance.now()));
    },
    overview,
    events: (query) => events.read(query),
  };
}
