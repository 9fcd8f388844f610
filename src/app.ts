/** The composition root: puts the components together from the settings, starts them in order, stops them in reverse. */
import { createAdmin } from "./admin/index.ts";
import { silentTelemetry, type Telemetry } from "./catalogue/telemetry.ts";
import type { Config, Loaded } from "./config/index.ts";
import { createExporter, type Exporter, type ExportHealth, teeLogger } from "./export/index.ts";
import { createLocalDelivery } from "./export/local.ts";
import { exportOptionsOf } from "./export/options.ts";
import { observeProcess } from "./export/process-telemetry.ts";
import { type Journal, openJournal } from "./journal/index.ts";
import { journalOptionsOf } from "./journal/options.ts";
import type { JournalReader, JournalSpace } from "./journal/types.ts";
import { withDelivery } from "./ledger/delivery.ts";
import { Ledger, type LedgerView } from "./ledger/index.ts";
import { ledgerOptionsOf } from "./ledger/options.ts";
import type { Clock } from "./lib/clock.ts";
import type { Logger } from "./lib/logger.ts";
import { type AcceptedEvents, readAcceptedEvents } from "./pipeline/accepted-events.ts";
import { type Conservation, conservationOf } from "./pipeline/conservation.ts";
import { createPipeline, incrementsOf } from "./pipeline/index.ts";
import { observeStore, type StoreLimits } from "./pipeline/observe.ts";
import { recover } from "./pipeline/recover.ts";
import type { LogLimit } from "./pipeline/types.ts";
import { processorOptionsOf } from "./processors/options.ts";
import { createReceivers, type ReceiverAddresses, type Receivers } from "./receivers/index.ts";
import type { Build } from "./version.ts";

export interface AppDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly build: Build;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  /** Standard output has lost its reader; with `otlp.protocol = "stdout"` there is nothing left to do. */
  readonly onStdoutClosed: () => void;
}

export interface AppStatus {
  readonly conservation: Conservation;
  readonly export: ExportHealth;
  readonly space: JournalSpace;
}

export interface App {
  /** @throws {Error} with one line for the operator; nothing is left running. */
  start(): Promise<void>;
  /** Takes over what may change while it runs: tokens, credentials and TLS files. Before `start`, nothing. */
  reload(config: Config): Promise<void>;
  /** Stops intake first; ends within the deadline whatever the backend does. Safe before `start`, and twice. */
  stop(deadlineMs: number): Promise<void>;
  /** What the app listens on; only after `start`. */
  readonly addresses: ReceiverAddresses & { readonly admin?: string };
  status(): AppStatus;
  /** The last committed fold. */
  ledger(): LedgerView;
  /** Log events of accepted records from a row of the journal on, for a live view. */
  events(fromSeq: number, limit: number): AcceptedEvents;
}

/** Shares of what is left of the time to stop: for requests in flight, and then for one last delivery of logs. */
const intakeShare = 0.5;
const lastLogsShare = 0.5;

const maintainMs = 1000;

/** Time for answers of the admin listener that are under way when the program ends. */
const lastAnswersMs = 200;

export function createApp({ config, origins, warnings }: Loaded, deps: AppDeps): App {
  let running: Running | undefined;
  const current = (): Running => {
    if (running === undefined) throw new Error("the app is not running");
    return running;
  };
  return {
    async start() {
      const protocolOrigin = origins.get("otlp.protocol");
      const protocolIsSet = protocolOrigin !== undefined && protocolOrigin.from !== "default";
      running = await run(config, { protocolIsSet, warnings: warnings.length }, deps);
    },
    async reload(next) {
      await running?.reload(next);
    },
    async stop(deadlineMs) {
      const stopping = running;
      running = undefined;
      await stopping?.stop(deadlineMs);
    },
    get addresses() {
      return current().addresses;
    },
    status: () => current().status(),
    ledger: () => current().ledger(),
    events: (fromSeq, limit) => current().events(fromSeq, limit),
  };
}

type Running = Omit<App, "start">;

/** What is known of the settings beside their values. */
interface Settings {
  readonly protocolIsSet: boolean;
  readonly warnings: number;
}

async function run(config: Config, { protocolIsSet, warnings }: Settings, deps: AppDeps): Promise<Running> {
  const { clock, build } = deps;
  let telemetry: Telemetry = silentTelemetry;
  const journal = openJournal(journalOptionsOf(config), {
    telemetry: {
      ...silentTelemetry,
      record: (metric, value, attributes) => telemetry.record(metric, value, attributes),
    },
    logger: deps.logger,
    clock,
  });
  const { identitySecret, privacySalt, tailnet, instanceId } = journal.identity;
  const processors = processorOptionsOf(config, { identityKey: { secret: identitySecret, tailnet }, privacySalt });
  const ledger = new Ledger(ledgerOptionsOf(config), journal.identity.createdAt);
  let view: LedgerView = ledger.view;
  const exportContext = { processors, protocolIsSet, instanceId, version: build.version };
  const exporter = createExporter(exportOptionsOf(config, exportContext), {
    entry: deps.workerEntry,
    databasePath: journal.databasePath,
    ledger: () => view,
    fetch,
    clock,
    random: Math.random,
    logger: deps.logger,
    onProgress: (advance) => journal.progress(advance),
    onStdoutClosed: deps.onStdoutClosed,
  });
  telemetry = exporter.telemetry;
  const logger = teeLogger(deps.logger, exporter.selfLog);
  const recovery = recover(journal, ledger, processors, logger);
  if (recovery.rows > 0) logger.info("measured what came after the last snapshot", { ...recovery });
  startDelivery(journal, ledger, exporter);
  view = withDelivery(ledger.view, journal.cursor, journal.identity);

  const fold = (): void => {
    const folded = ledger.fold(clock(), journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
    view = withDelivery(folded, journal.cursor, journal.identity);
    for (const [metric, sets] of ledger.takeOverflowed()) {
      telemetry.add("tailscale2otel.series.overflowed", sets, { "metric.name": metric });
    }
  };
  const foldTimer = setInterval(() => {
    attempt("cannot commit the counters; they are kept and tried again", logger, () => {
      fold();
      void exporter.folded();
    });
  }, config.otlp.metric_interval);
  const maintainTimer = setInterval(
    () => attempt("cannot tidy the journal; it is tried again", logger, () => journal.maintain()),
    maintainMs,
  );
  observeStore(journal, ledger, storeLimitsOf(config), { telemetry, clock });
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.build_info", () => [{ value: 1, attributes: { version: build.version } }]);
  telemetry.observe("tailscale2otel.config.warnings", () => [{ value: warnings, attributes: {} }]);
  const endObserving = observeProcess(telemetry);

  const pipeline = createPipeline(journal, processors, {
    comparesFacts: config.webhook.dedup_audit_events,
    logLimit: logLimitOf(config),
    telemetry,
  });
  const endWithoutIntake = async (deadlineMs: number): Promise<void> => {
    const endsAt = performance.now() + deadlineMs;
    const remainingMs = (): number => Math.max(0, endsAt - performance.now());
    clearInterval(foldTimer);
    clearInterval(maintainTimer);
    endObserving();
    await exporter.stopLogs(remainingMs() * lastLogsShare);
    attempt("cannot commit the last counters; they are measured again at the next start", logger, fold);
    await exporter.stop(remainingMs());
    journal.close();
  };
  let isStopping = false;
  const status = (): AppStatus => ({
    conservation: conservationOf(journal, ledger),
    export: exporter.health,
    space: journal.space,
  });
  const admin = createAdmin(config.admin, {
    readiness: () => [
      ...(journal.space.isFull ? ["the journal is full"] : []),
      ...(isStopping ? ["the program is ending"] : []),
    ],
    scrape: () => exporter.scrape(),
    status,
    logger,
  });
  let receivers: Receivers;
  try {
    if (config.admin.enabled) await admin.start();
    receivers = createReceivers(config, { pipeline, journal, telemetry, logger, clock });
    await receivers.start();
  } catch (error) {
    await admin.stop(0);
    await endWithoutIntake(0);
    throw error;
  }

  let reader: JournalReader | undefined;
  return {
    get addresses() {
      return config.admin.enabled
        ? { ...receivers.addresses, admin: `http://${config.admin.listen.replace(/\d+$/, String(admin.port))}` }
        : receivers.addresses;
    },
    async reload(next) {
      admin.useToken(next.admin.token);
      await receivers.reload(next);
      exporter.useHeaders(exportOptionsOf(next, exportContext));
    },
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      isStopping = true;
      await receivers.stop(deadlineMs * intakeShare);
      reader?.close();
      await admin.stop(lastAnswersMs);
      await endWithoutIntake(Math.max(0, endsAt - performance.now()));
    },
    status,
    ledger: () => view,
    events: (fromSeq, limit) => readAcceptedEvents((reader ??= journal.openReader()), processors, { fromSeq, limit }),
  };
}

/** From here on every commit is counted, and delivered or counted as such. */
function startDelivery(journal: Journal, ledger: Ledger, exporter: Exporter): void {
  const { cursor, lastSeq, pendingRecords } = journal;
  const local = exporter.deliversLogs
    ? undefined
    : createLocalDelivery({ cursor, lastSeq, pendingRecords }, (advance) => journal.progress(advance));
  exporter.start({ cursor, committedSeq: lastSeq });
  journal.onCommitted((batch) => {
    for (const increments of incrementsOf(batch)) ledger.add(increments);
    exporter.committed(batch.lastSeq);
    local?.committed(batch);
  });
}

function storeLimitsOf(config: Config): StoreLimits {
  const { flow, audit, webhook } = journalOptionsOf(config).keyLimits;
  return {
    windowsMs: { flow: flow.windowMs, audit: audit.windowMs, webhook: webhook.windowMs },
    metricLimit: config.cardinality.metric_limit,
  };
}

function logLimitOf({ collectors: { flowlogs } }: Config): LogLimit | undefined {
  const maxEvents = flowlogs.max_log_records_per_window;
  return maxEvents === 0 ? undefined : { maxEvents, flowLogMode: flowlogs.log_mode };
}

/** What a timer does: when it fails it says so, and the timer goes on. */
function attempt(complaint: string, logger: Logger, act: () => void): void {
  try {
    act();
  } catch (error) {
    logger.error(complaint, { reason: error instanceof Error ? error.message : String(error) });
  }
}
