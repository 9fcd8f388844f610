/**
 * The half of a core that counts, delivers, polls and serves views, and exists only while this instance leads. It is created once
 * this instance leads the journal, begins when the receivers listen, and ends with a last delivery and a last fold.
 */
import { hasCredentials, type Config } from "../config/index.ts";
import { pause } from "../lib/backoff.ts";
import { calmLogger, type Logger } from "../lib/logger.ts";
import type { Clock } from "../lib/clock.ts";
import { EventFeed } from "../admin/events/index.ts";
import { destinationStatuses, whyNoDestination } from "../admin/destinations.ts";
import { createOperations, type OperationsDeps } from "../admin/operations.ts";
import { Live } from "../admin/live.ts";
import { createOverview } from "../admin/overview.ts";
import { resumeRedeliveries } from "../admin/redeliveries.ts";
import { type Health, type Status, statusOf } from "../admin/status.ts";
import { createTraffic } from "../admin/traffic/index.ts";
import { createExporter, type ExportDeps, useDestinations } from "../export/index.ts";
import { type Committed, type Journal, primaryDestination, reasonOf } from "../journal/index.ts";
import { startFolding } from "../ledger/folding.ts";
import { Ledger } from "../ledger/index.ts";
import { Counting } from "../pipeline/counting.ts";
import { createRetry, type Pipeline } from "../pipeline/index.ts";
import { observeStore } from "../pipeline/observe.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import type { MeasureContext } from "../processors/flow-metrics.ts";
import { directoryOf } from "../processors/index.ts";
import { createPoller } from "../receivers/poller/index.ts";
import { createTailnet } from "../tailnet/index.ts";
import { createTailscaleApi } from "../tailscale/index.ts";
import type { TermTelemetry } from "./telemetry.ts";

export interface LeadingDeps extends MeasureContext, Pick<ExportDeps, "onStdoutClosed" | "entry" | "random"> {
  /** Absent if they are exported separately. */
  readonly instruments?: ExportDeps["instruments"];
  readonly journal: Journal;
  readonly pipeline: Pipeline;
  readonly telemetry: TermTelemetry;
  readonly logger: Logger;
  /** For log lines of the export itself, which are not exported. */
  readonly plainLogger: Logger;
  readonly clock: Clock;
  readonly version: string;
  /** Start of the process, epoch milliseconds. */
  readonly startedAt: number;
  /** The last row at the start of the process. */
  readonly firstSeq: number;
  /** Why records cannot be accepted. */
  readonly notReady: () => readonly string[];
  /** Sets the secrets that webhook deliveries are verified with. */
  readonly useWebhookSecrets: (secret: string, previous: string) => void;
}

export type Leading = Awaited<ReturnType<typeof createLeading>>;

/** Time for a request to Tailscale's API that is in flight when the program stops: its answer may contain a secret. */
const lastRequestMs = 2000;

/** The share of the remaining time for the last delivery of logs. */
const lastLogsShare = 0.5;

/** Time for the last delivery and the last export of a term, while another instance waits to lead. */
const lastOfTermMs = 3000;

const restoreRetryMs = 1000;

/** Delivers at once; counts and polls from `begin` on. @throws {ConfigError} if a file of `otlp.tls` cannot be read. */
export async function createLeading(config: Config, deps: LeadingDeps) {
  const { journal, settings, pipeline, telemetry, logger, clock, version, random, startedAt } = deps;
  const { tail } = journal;
  // Rows read from the tail are measured by separate books.
  const { edges, ends } = tail === undefined ? deps : { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const ledger = new Ledger(config, deps);
  const { instanceId } = journal.identity;
  const exporter = createExporter(
    config,
    { settings, instanceId, version, location: journal.location },
    {
      ...deps,
      logger: deps.plainLogger,
      shown: () => ledger.shown,
      onProgress: (progress, destination) => journal.progress(progress, destination),
      onRedelivered: (progress, destination) => journal.progress({ redelivered: [progress] }, destination),
      onPoints(points, destination) {
        for (const [outcome, count] of Object.entries(points) as [keyof typeof points, number][])
          ledger.count("tailscale2otel.export.datapoints", { outcome, ...destination }, count);
      },
      onDamage: (reason) => journal.damaged(reason),
    },
  );
  const shared = { journal, ledger, pipeline, settings, edges, ends, telemetry, logger, clock, random };
  const events = new EventFeed(shared);
  const counting: Counting = new Counting({ ...shared, counted: (row) => live.added(row) });
  const traffic = createTraffic({ ...shared, counting, pace: events.pace });
  const live: Live = new Live({ ...shared, overview: () => overview(), traffic, events });
  const api = hasCredentials(config) ? createTailscaleApi(config.tailscale, { ...shared, fetch }) : undefined;
  const poller = createPoller(config, { ...shared, api });
  const tailnet = createTailnet(config, {
    ...shared,
    api,
    useDevices(devices) {
      settings.directory.current = directoryOf(devices);
      exporter.directoryChanged();
    },
    useWebhookSecrets: deps.useWebhookSecrets,
  });
  const ending = new AbortController();
  let stopFolding = (): void => undefined;
  let restoring: Promise<void> = Promise.resolve();

  /** Stops without a last delivery or write, because another instance leads or this one cannot. */
  async function abandon(): Promise<void> {
    ending.abort();
    if (tail !== undefined) tail.onGrowth = () => undefined;
    stopFolding();
    closeFeeds();
    counting.close();
    telemetry.end();
    await Promise.all([exporter.abandon(), poller.stop(0), tailnet.stop(0), restoring]);
  }
  /** Abandons what has started if the work fails, for example because the journal is lost. */
  async function orAbandoned(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await abandon();
      throw error;
    }
  }

  tailnet.startDevices();
  await orAbandoned(() => useDestinations(config, { journal, logger, move: exporter.move }));
  const { cursor, destinations, lastSeq: committedSeq, pendingRecords } = journal;
  exporter.start({ cursor, destinations, committedSeq, pendingRecords });
  if (tail !== undefined)
    tail.onGrowth = (lastSeq, records) => {
      exporter.grown(lastSeq, records);
      counting.grown();
      events.committed();
    };
  observeStore(config, shared);

  const health = (): Health => ({
    notReady: deps.notReady(),
    export: exporter.health,
    destinations: destinationStatuses(journal, exporter.further),
    polls: poller.status,
    tailnet: tailnet.troubles,
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
      version,
      statePath: config.state.path,
      notReady: deps.notReady,
      lastSuccess: () => exporter.lastSuccess,
    }),
    ...health(),
  });
  await orAbandoned(() => resumeRedeliveries(operationsDeps, logger));
  const overview = createOverview({ status, ledger, clock, startedAt });

  const calm = calmLogger(logger, clock);

  /** A database may be unavailable for a while, which its client logs; a failing disk or damaged file ends the program. */
  async function stepFailed(failure: unknown): Promise<false> {
    const level = tail === undefined ? "error" : "debug";
    calm[level]("the journal cannot be read to restore the counters; trying again", { reason: reasonOf(failure) });
    await pause(restoreRetryMs, ending.signal);
    return false;
  }

  /** Runs while records are already accepted: the port opens before the counters are restored. */
  async function restoreCounters(): Promise<void> {
    const beganAt = performance.now();
    while (!ending.signal.aborted && !(await counting.step().catch(stepFailed)))
      await new Promise((resolve) => setImmediate(resolve));
    if (ending.signal.aborted) return;
    const { rows, ...restored } = counting.progress;
    if (rows > 0) logger.info("counters restored", { rows, ...restored, ms: Math.round(performance.now() - beganAt) });
    traffic.start();
    const folded: Parameters<typeof startFolding>[1]["folded"] = (fold) => void exporter.folded(fold);
    stopFolding = startFolding(config.otlp.metric_interval, { ...shared, firstSeq: deps.firstSeq, folded });
  }

  return {
    selfLog: exporter.selfLog,
    health,
    status,
    overview,
    events,
    traffic,
    live,
    operations: createOperations(operationsDeps),
    /** Records left for another term to deliver. */
    get pending(): number {
      return journal.pendingRecords;
    },
    /** The last committed fold. */
    shown: () => ledger.shown,
    /** True if commits should include the text of their rows. */
    get wantsText(): boolean {
      return tail === undefined && exporter.wantsText;
    },
    /** Counts and delivers a commit of this process; called in the order of rows. */
    committed(batch: Committed): void {
      // The tail announces it, along with the commits of other instances.
      if (tail !== undefined) return;
      exporter.committed(batch);
      counting.committed(batch);
      events.committed();
      live.committed(batch);
    },
    /** Call before the receivers listen: gives them the stored webhook secret. */
    recall: (): void => tailnet.recall(),
    signedBy: (secret: string): void => tailnet.signedBy(secret),
    /** Call once the receivers listen. Runs in the background. */
    begin(): void {
      tailnet.start();
      poller.start();
      restoring = restoreCounters();
    },
    /** Applies new credentials, tokens and secrets. @throws {ConfigError} */
    reload(next: Config): void {
      tailnet.reload(next);
      exporter.useCredentials(next);
    },
    stopAsking,
    closeFeeds,
    finish,
    /** Ends a term while other instances wait to lead. */
    async end(deadlineMs: number): Promise<void> {
      await stopAsking();
      closeFeeds();
      await finish(Math.min(deadlineMs, lastOfTermMs));
    },
    abandon,
  };

  /** Stops all requests to Tailscale, and the restoring of counters. */
  async function stopAsking(): Promise<void> {
    ending.abort();
    await Promise.all([poller.stop(lastRequestMs), tailnet.stop(lastRequestMs), restoring]);
  }

  /** Ends the feeds of events, traffic and live values. */
  function closeFeeds(): void {
    events.close();
    traffic.stop();
    live.close();
  }

  /** Call once intake has stopped: makes the last delivery, the last fold and the last export of metrics. */
  async function finish(deadlineMs: number): Promise<void> {
    const endsAt = performance.now() + deadlineMs;
    const remainingMs = (): number => Math.max(0, endsAt - performance.now());
    stopFolding();
    await exporter.stopLogs(remainingMs() * lastLogsShare);
    if (counting.isCaughtUp)
      await ledger.fold(clock()).then(
        (fold) => exporter.folded(fold),
        (error: unknown) =>
          logger.warn("cannot commit the last counters; the next start restores what the journal still holds", {
            reason: reasonOf(error),
          }),
      );
    await exporter.stop(remainingMs());
    counting.close();
    telemetry.end();
  }
}
