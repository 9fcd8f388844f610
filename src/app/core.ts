/** One tailnet of the process: its journal and pipeline, which take in what arrives, and the leading half. */
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { attempt, eachLevel, type Logger, silentLogger, teeLogger } from "../lib/logger.ts";
import { notReadyReasons } from "../admin/status.ts";
import { instrumentsOf } from "../export/index.ts";
import { openJournal } from "../journal/index.ts";
import { createPipeline } from "../pipeline/index.ts";
import { createFirstReport } from "../pipeline/observe.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/index.ts";
import type { ReceivingTailnet } from "../receivers/index.ts";
import { createLeading, type Leading, type LeadingDeps } from "./leading.ts";
import { createTerms } from "./telemetry.ts";

export interface CoreDeps extends Pick<LeadingDeps, "onStdoutClosed" | "entry" | "version" | "startedAt"> {
  /** Of several tailnets: the first one's instruments measure the process too. Absent: there is one. */
  readonly place?: "first" | "further" | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The journal is damaged and accepts nothing more. Absent: it keeps refusing records. */
  readonly onDamage?: () => void;
  /** Why no record of any tailnet can be accepted. */
  readonly closed: () => readonly string[];
  /** Sets the secrets that the tailnet's webhook deliveries are verified with. */
  readonly useWebhookSecrets: (tailnet: string, secret: string, previous: string) => void;
}

export interface Core extends ReceivingTailnet {
  readonly leading: Leading;
  /** For what belongs to no tailnet in particular. */
  readonly processTelemetry: Telemetry;
  /** Writes the tailnet's page of `/metrics`. */
  readonly scrape: () => Promise<string>;
  /** Why records cannot be accepted; empty if they can. */
  readonly notReady: () => readonly string[];
  /** From now on, `notReady` says that the program is stopping. */
  end(): void;
  /** Once nothing more comes in. Returns how many records are left for the next start to deliver. */
  close(deadlineMs: number): Promise<number>;
}

/**
 * Opens the journal, and begins to deliver what is in it.
 * @param name empty if there is one tailnet only
 * @throws {Unavailable} if the journal cannot be used. @throws {ConfigError} if a file of `otlp.tls` cannot be read.
 */
export async function openCore(name: string, config: Config, deps: CoreDeps): Promise<Core> {
  const { version, place } = deps;
  let telemetry: Telemetry = silentTelemetry;
  const opened = await openJournal(config, {
    ...deps,
    telemetry: {
      ...silentTelemetry,
      record: (metric, value, attributes) => telemetry.record(metric, value, attributes),
    },
  });
  const journal = await opened.lead(new AbortController().signal);
  const firstSeq = journal.lastSeq;
  const settings = processorSettingsOf(config, journal.identity);
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const instruments = instrumentsOf(config, { settings, version, place, instanceId: journal.identity.instanceId });
  ({ telemetry } = instruments);
  const beginTerm = createTerms(telemetry);
  let selfLog: Logger = silentLogger;
  const logger = teeLogger(
    deps.logger,
    eachLevel((level) => (message, fields) => selfLog[level](message, fields)),
  );
  const reportFirst = createFirstReport(logger);
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    telemetry,
    committed(batch) {
      leading.committed(batch);
      reportFirst(batch);
    },
    keepsText: () => leading.wantsText,
  });
  let isEnding = false;
  const notReady = (): readonly string[] => [...notReadyReasons(journal, isEnding), ...deps.closed()];
  const leading = await createLeading(config, {
    ...deps,
    ...books,
    journal,
    settings,
    pipeline,
    instruments,
    telemetry: beginTerm(),
    random: Math.random,
    logger,
    plainLogger: deps.logger,
    firstSeq,
    notReady,
    useWebhookSecrets: (secret, previous) => deps.useWebhookSecrets(name, secret, previous),
  });
  ({ selfLog } = leading);
  return {
    name,
    config,
    pipeline,
    journal,
    telemetry,
    processTelemetry: instruments.processTelemetry,
    logger,
    leading,
    scrape: instruments.page(leading.shown),
    notReady,
    webhookSignedBy: leading.signedBy,
    end: () => void (isEnding = true),
    async close(deadlineMs) {
      await leading.finish(deadlineMs);
      await instruments.stop();
      const pending = journal.pendingRecords;
      await attempt("cannot close the journal", logger, () => journal.close());
      return pending;
    },
  };
}
