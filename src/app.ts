/** The composition root: puts the components together from the settings, starts them in order, stops them in reverse. */
import { createAdmin } from "./admin/index.ts";
import { createKept, type KeptDeps, resumeRedeliveries } from "./admin/kept.ts";
import { type Status, statusOf } from "./admin/status.ts";
import { silentTelemetry, type Telemetry } from "./catalogue/telemetry.ts";
import type { Config, Loaded } from "./config/index.ts";
import { createExporter, type Exporter, type ExportHealth, teeLogger } from "./export/index.ts";
import { createLocalDelivery } from "./export/local.ts";
import { exportOptionsOf } from "./export/options.ts";
import { observeProcess } from "./export/process-telemetry.ts";
import { type Journal, openJournal } from "./journal/index.ts";
import { journalOptionsOf } from "./journal/options.ts";
import type { JournalReader } from "./journal/types.ts";
import { Folding } from "./ledger/folding.ts";
import { Ledger, type LedgerView } from "./ledger/index.ts";
import { ledgerOptionsOf } from "./ledger/options.ts";
import { attempt } from "./lib/attempt.ts";
import type { Clock } from "./lib/clock.ts";
import type { Logger } from "./lib/logger.ts";
import { type AcceptedEvents, readAcceptedEvents } from "./pipeline/accepted-events.ts";
import { createPipeline, incrementsOf } from "./pipeline/index.ts";
import { observeStore } from "./pipeline/observe.ts";
import { logLimitOf, storeLimitsOf } from "./pipeline/options.ts";
import { recover } from "./pipeline/recover.ts";
import { createRetry } from "./pipeline/retry.ts";
import { processorOptionsOf } from "./processors/options.ts";
import { createControlPlane } from "./receivers/control-plane.ts";
import { createReceivers, type ReceiverAddresses, type Receivers } from "./receivers/index.ts";
import type { PollStatus } from "./receivers/poller/index.ts";
import type { Build } from "./version.ts";

export interface AppDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly build: Build;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  /** Standard output has lost its reader; with `otlp.protocol = "stdout"` there is nothing left to do. */
  readonly onStdoutClosed: () => void;
  /** The journal is damaged and takes nothing more; the next start salvages it. Absent: it goes on refusing. */
  readonly onDamage?: () => void;
}

export interface AppStatus extends Status {
  readonly polls: readonly PollStatus[];
  readonly export: ExportHealth;
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

/** Time for a request to Tailscale's API that is under way when the program ends: its answer may hold a secret. */
const lastRequestMs = 2000;

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
    ...(deps.onDamage === undefined ? {} : { onDamage: deps.onDamage }),
  });
  const { identitySecret, privacySalt, tailnet, instanceId } = journal.identity;
  const processors = processorOptionsOf(config, { identityKey: { secret: identitySecret, tailnet }, privacySalt });
  const ledger = new Ledger(ledgerOptionsOf(config), journal.identity.createdAt);
  const exportContext = { processors, protocolIsSet, instanceId, version: build.version };
  const exporter = createExporter(exportOptionsOf(config, exportContext), {
    entry: deps.workerEntry,
    databasePath: journal.databasePath,
    ledger: () => folding.view,
    fetch,
    clock,
    random: Math.random,
    logger: deps.logger,
    onProgress: (advance) => journal.progress(advance),
    onRedelivered: (progress) => journal.redeliveries.progress(progress),
    onDamage: (reason) => journal.damaged(reason),
    onStdoutClosed: deps.onStdoutClosed,
  });
  telemetry = exporter.telemetry;
  const logger = teeLogger(deps.logger, exporter.selfLog);
  const limited = { comparesFacts: config.webhook.dedup_audit_events, logLimit: logLimitOf(config) };
  const isStreamed = config.streaming.enabled;
  const pipeline = createPipeline(journal, processors, { ...limited, isStreamed, telemetry });
  const shared = { journal, ledger, pipeline, telemetry, logger, clock };
  let receivers: Receivers;
  const controlPlane = createControlPlane(config, {
    ...shared,
    names: processors,
    fetch,
    random: Math.random,
    directoryChanged: () => exporter.directoryChanged(),
    useWebhookSecrets: (secret, previous) => receivers.useKeptSecrets(secret, previous),
  });
  controlPlane.startDirectory();
  const recovery = recover(journal, ledger, processors, logger);
  if (recovery.rows > 0) logger.info("measured what came after the last snapshot", { ...recovery });
  startDelivery(journal, ledger, exporter);
  const folding = new Folding(config.otlp.metric_interval, {
    ...shared,
    folded: () => void exporter.folded(),
  });
  folding.start();
  const limits = storeLimitsOf(config);
  observeStore(journal, ledger, limits, { telemetry, clock });
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.build_info", () => [{ value: 1, attributes: { version: build.version } }]);
  telemetry.observe("tailscale2otel.config.warnings", () => [{ value: warnings, attributes: {} }]);
  const endObserving = observeProcess(telemetry);

  const endWithoutIntake = async (deadlineMs: number): Promise<void> => {
    const endsAt = performance.now() + deadlineMs;
    const remainingMs = (): number => Math.max(0, endsAt - performance.now());
    folding.stop();
    endObserving();
    await exporter.stopLogs(remainingMs() * lastLogsShare);
    attempt("cannot commit the last counters; they are measured again at the next start", logger, () => folding.fold());
    await exporter.stop(remainingMs());
    journal.close();
  };
  let isStopping = false;
  const notReady = (): readonly string[] => [
    ...(journal.space.isFull ? ["the journal is full or failing"] : []),
    ...(isStopping ? ["the program is ending"] : []),
  ];
  const keptDeps: KeptDeps = {
    journal,
    retryRecord: createRetry(journal, processors, limited, clock),
    privacy: processors.privacy,
    clock,
    cannotSend: () => (exporter.deliversLogs ? undefined : "no logs leave this program: otlp.endpoint is not set"),
    redeliver: exporter.redeliver,
    troubleOf: (name) => exporter.redeliveryTrouble(name),
  };
  const lastSuccess = () => exporter.lastSuccess;
  const status = (): AppStatus => ({
    ...statusOf({ ...keptDeps, ledger, limits, version: build.version, notReady, lastSuccess }),
    polls: controlPlane.polls,
    export: exporter.health,
  });
  const kept = createKept(keptDeps);
  resumeRedeliveries(keptDeps, logger);
  const admin = createAdmin(config.admin, {
    readiness: notReady,
    scrape: () => exporter.scrape(),
    status,
    kept,
    logger,
  });
  try {
    if (config.admin.enabled) await admin.start();
    receivers = createReceivers(config, {
      ...shared,
      webhookSignedBy: controlPlane.signedBy,
    });
    controlPlane.recall();
    await receivers.start();
    controlPlane.start();
  } catch (error) {
    await controlPlane.stop(0);
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
      controlPlane.reload(next);
      exporter.useCredentials(exportOptionsOf(next, exportContext));
    },
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      isStopping = true;
      await Promise.all([controlPlane.stop(lastRequestMs), receivers.stop(deadlineMs * intakeShare)]);
      reader?.close();
      await admin.stop(lastAnswersMs);
      await endWithoutIntake(Math.max(0, endsAt - performance.now()));
    },
    status,
    ledger: () => folding.view,
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
