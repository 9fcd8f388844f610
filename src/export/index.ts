/** Exports logs, metrics once per fold, and the program's own log lines if enabled, all through one worker. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { calmLogger, eachLevel, type Logger, rewritingLogger } from "../lib/logger.ts";
import {
  type DestinationAccount,
  type Journal,
  type LogCursor,
  primaryDestination,
  type Progress,
  type Redelivery,
} from "../journal/index.ts";
import type { Fold } from "../ledger/index.ts";
import { privacyOf, takeTruncatedTexts } from "../processors/outgoing.ts";
import { collectGarbage } from "../runtime/process.ts";
import { keepTotals, openTotals } from "./acknowledged.ts";
import { foldMessage, prometheusPage } from "./fold-points.ts";
import {
  commonAttributes,
  type ExportContext,
  type ExportSetup,
  resourcesOf,
  setupOf,
  type Target,
  targetsOf,
} from "./destination.ts";
import { createInstruments, type Instruments } from "./instruments.ts";
import { routeDiagnostics } from "./self-logs.ts";
import { nameOf } from "./target.ts";
import type { TargetState } from "./target-state.ts";
import { type CommittedRows, ExportWorker, type Untried, type WorkerDeps } from "./worker-client.ts";

export { useDestinations } from "./destination.ts";
export { mergePages } from "./fold-points.ts";
export { observeProcess } from "./instruments.ts";

export interface ExportDeps extends Omit<WorkerDeps, "onAcknowledged"> {
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** Their points are exported with each fold. */
  readonly instruments?: Pick<Instruments, "collect"> | undefined;
  /** The ledger's last committed fold. */
  readonly shown: () => Fold;
}

/** Where delivery resumes, and what has been committed after that position. */
interface StartOfDelivery {
  readonly cursor: LogCursor;
  readonly committedSeq: number;
  readonly pendingRecords: number;
  /** Of further destinations. */
  readonly destinations?: readonly Pick<DestinationAccount, "name" | "cursor">[];
}

/** A large fold leaves tens of MB of garbage, which the collector would let grow: a peak of 250 MB at full load instead of 214. */
const seriesPerCollection = 1_000;

export type Exporter = ReturnType<typeof createExporter>;

/** The process's own instruments, and the writer of the `/metrics` page: their points and those of the last fold. */
export function instrumentsOf(
  config: Config,
  context: Omit<ExportContext, "location"> & Pick<Parameters<typeof createInstruments>[1], "place">,
) {
  const { settings, version, instanceId, place } = context;
  const common = commonAttributes(settings);
  const resource = resourcesOf(config, settings, instanceId).metrics;
  const instruments = createInstruments(config.self_observability, { resource, version, common, place });
  return { ...instruments, page: (shown: () => Fold) => prometheusPage({ shown, instruments, common }) };
}

/**
 * Creates the exporter for all destinations. Until `start`, it only routes the SDK's diagnostics and saves initial totals for
 * the temporality `delta`.
 * @throws {TypeError} if an address is not a URL. @throws {ConfigError} if a file of `otlp.tls` cannot be read.
 */
export function createExporter(config: Config, context: ExportContext, deps: ExportDeps) {
  routeDiagnostics(deps.logger);
  const { settings, version } = context;
  const { telemetry, instruments } = deps;
  const setup = setupOf(config, context);
  const { targets, exportsOwnLines } = setup;
  const differing = [config.otlp, ...config.otlp.also].flatMap(({ metrics }, index) => {
    const target = targets[index] as Target;
    return target.exportsMetrics && metrics.temporality === "delta" ? [target] : [];
  });
  const keeping = { ...deps, logger: calmLogger(deps.logger, deps.clock) };
  const totals = openTotals(
    keeping,
    differing.map(({ name }) => name),
  );
  for (const target of differing) target.acknowledged = totals.get(target.name);
  const [{ logs }] = targets;
  const deliversLogs = logs !== undefined;
  const deliversAny = targets.some((target) => target.logs !== undefined);
  /** Destinations that get only some types read their rows themselves. */
  const sharesRows = targets.some((target) => target.logs !== undefined && target.types === undefined);
  const exportsMetrics = targets.some((target) => target.exportsMetrics);
  const worker = new ExportWorker(setup, {
    ...deps,
    onAcknowledged: (acknowledged, destination) => keepTotals(keeping, destination, acknowledged),
  });
  const local = createLocalDelivery((progress) => deps.onProgress(progress, primaryDestination));
  observeLastSuccess(telemetry, worker);

  return {
    /** True if logs are sent to the primary destination; otherwise records count as delivered to the local store once committed. */
    deliversLogs,
    /** Exports own log lines if the settings ask for it; otherwise silent. */
    selfLog: selfLogOf(setup, worker),
    /** The health of the primary destination. */
    get health() {
      return healthOf(worker.target(primaryDestination), config, worker).health;
    },
    /** When the primary destination last accepted each signal since the process started, epoch milliseconds. */
    get lastSuccess() {
      return worker.target(primaryDestination).lastSuccess;
    },
    get further() {
      return worker.targets.slice(1).map((state) => healthOf(state, config, worker));
    },
    start({ destinations = [], ...from }: StartOfDelivery): void {
      const further = destinations.map(({ name, cursor }) => [name, cursor] as const);
      if (deliversAny || exportsMetrics || exportsOwnLines)
        worker.start(new Map([[primaryDestination, from.cursor], ...further]));
      if (!deliversLogs) local.start(from);
    },
    committed(batch: CommittedRows): void {
      if (deliversAny) worker.committed(batch);
      if (!deliversLogs) local.committed(batch);
    },
    /** `records` more were accepted up to row `lastSeq`, by any instance. */
    grown(lastSeq: number, records: number): void {
      if (deliversAny) worker.wake();
      if (!deliversLogs) local.grown(records, lastSeq);
    },
    /** True if commits should include the text of their rows. */
    get wantsText(): boolean {
      return sharesRows && worker.wantsText;
    },
    /** Uses the headers and certificates of these settings from the next request on. @throws {ConfigError} */
    useCredentials: (next: Config): void => worker.useCredentials(targetsOf(next, version)),
    /** Called when the settings have a newer device directory. */
    directoryChanged: (): void => worker.post("useDirectory", settings.directory.current),
    /** Continues the logs of a further destination at `cursor`, because earlier records were given up. */
    move: (destination: string, cursor: LogCursor): void => worker.move(destination, cursor),
    /** Runs a redelivery from its position on, behind fresh logs; undefined ends the one that runs under the name. */
    redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined, destination = primaryDestination): void =>
      worker.redeliver(destination, name, redelivery),
    redeliveryTrouble: (name: Redelivery["name"], destination = primaryDestination): string | undefined =>
      worker.dead?.why ?? worker.target(destination).redeliveryTrouble(name),
    /** Hands a committed fold to the worker; it replaces what is still being retried of the previous one. */
    async folded(fold: Fold): Promise<void> {
      const texts = takeTruncatedTexts();
      if (texts > 0) telemetry.add("tailscale2otel.export.truncated_texts", texts, {});
      if (!exportsMetrics) return;
      const scopeMetrics = (await instruments?.collect())?.scopeMetrics ?? [];
      worker.post("fold", foldMessage(fold, scopeMetrics));
      const series = fold.metrics.reduce((sum, { values }) => sum + values.length, 0);
      if (series >= seriesPerCollection) collectGarbage();
    },
    /** Ends at once, because another instance delivers. */
    abandon: (): Promise<void> => worker.abandon(),
    /** Delivers logs one last time. No cursor is reported after it resolves. */
    stopLogs: (deadlineMs: number): Promise<void> => worker.stopLogs(deadlineMs),
    /** Exports everything else one last time, then ends the worker, by the deadline. Safe to call twice, and before `start`. */
    stop: (deadlineMs: number): Promise<void> => worker.stop(deadlineMs),
  };
}

/**
 * The state of each signal at a destination, or why it is not exported: it has no address (local mode), or the settings
 * disable it.
 */
function healthOf({ target, deliveries, metrics, lastSuccess }: TargetState, { otlp }: Config, { dead }: ExportWorker) {
  const { name } = target;
  const settings = otlp.also.find((one) => one.name === name) ?? otlp;
  const untried: Untried = { kind: "untried" };
  const notExported = ({ enabled }: { readonly enabled: boolean }) => ({
    kind: enabled ? ("local" as const) : ("disabled" as const),
  });
  const health = {
    logs: target.logs === undefined ? notExported(settings.logs) : (dead ?? deliveries.logs ?? untried),
    metrics: target.exportsMetrics ? (dead ?? metrics ?? untried) : notExported(settings.metrics),
  };
  return { name, health, lastSuccess };
}

/** The privacy settings for records also apply to the program's own log lines. */
function selfLogOf({ exportsOwnLines, settings: { privacy } }: ExportSetup, worker: ExportWorker): Logger {
  const sink = eachLevel((level) => (message, fields) => {
    if (exportsOwnLines) worker.post("line", level, message, fields);
  });
  return privacy === undefined ? sink : rewritingLogger(sink, privacyOf(privacy).text);
}

function observeLastSuccess(telemetry: Telemetry, worker: ExportWorker): void {
  telemetry.observe("tailscale2otel.export.last_success", () =>
    worker.targets.flatMap(({ target, lastSuccess }) =>
      (["logs", "metrics"] as const).flatMap((signal) => {
        const at = lastSuccess[signal];
        return at === undefined ? [] : [{ value: at / 1000, attributes: { signal, ...nameOf(target) } }];
      }),
    ),
  );
}

/** Delivery if no logs are exported: committed records count as delivered to the local store, and so do those pending before. */
function createLocalDelivery(onProgress: (progress: Progress) => void) {
  let last: LogCursor | undefined;
  const deliver = (records: number, lastSeq: number): void => {
    if (last === undefined) return;
    const delivered = last.records.delivered + records;
    last = { ...last, seq: lastSeq + 1, record: 0, logRecord: 0, records: { ...last.records, delivered } };
    onProgress({ cursor: last, marks: [] });
  };
  return {
    start({ cursor, committedSeq, pendingRecords }: Omit<StartOfDelivery, "destinations">): void {
      last = cursor;
      if (cursor.seq <= committedSeq) deliver(pendingRecords, committedSeq);
    },
    committed({ parts, lastSeq }: CommittedRows): void {
      const records = parts.reduce((sum, { accepted }) => sum + accepted, 0);
      deliver(records, lastSeq);
    },
    grown: deliver,
  };
}
