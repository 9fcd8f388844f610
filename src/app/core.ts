/** One tailnet of the process: its journal and pipeline, which accept records, and its leading half. */
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import { hostname } from "node:os";
import { type Config, usesTls } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { urlForOthers } from "../lib/listen.ts";
import { attempt, eachLevel, type Logger, silentLogger, teeLogger } from "../lib/logger.ts";
import { clusterStatus, leaderText } from "../admin/cluster.ts";
import type { AdminTailnet } from "../admin/routes.ts";
import { type Health, notReadyReasons } from "../admin/status.ts";
import { instrumentsOf } from "../export/index.ts";
import { type AppendingJournal, type Journal, openJournal } from "../journal/index.ts";
import type { Fold } from "../ledger/index.ts";
import { createPipeline } from "../pipeline/index.ts";
import { createFirstReport, observeCluster } from "../pipeline/observe.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/settings.ts";
import type { ReceivingTailnet } from "../receivers/index.ts";
import { createLeading, type Leading, type LeadingDeps } from "./leading.ts";
import { type OwnExport, startOwnExport, withoutOwnLines } from "./own-export.ts";
import { createTermTelemetry } from "./telemetry.ts";
import { createTerms } from "./terms.ts";

export interface CoreDeps extends Pick<LeadingDeps, "onStdoutClosed" | "entry" | "version" | "startedAt"> {
  /** With several tailnets, the instruments of the first one measure the process too. Absent: there is only one. */
  readonly place?: "first" | "further" | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called when the journal is damaged and accepts nothing more. Absent: it keeps refusing records. */
  readonly onDamage?: () => void;
  /** Why no record of any tailnet can be accepted. */
  readonly closed: () => readonly string[];
  /** Sets the secrets that the tailnet's webhook deliveries are verified with. */
  readonly useWebhookSecrets: (tailnet: string, secret: string, previous: string) => void;
}

export interface Core extends ReceivingTailnet, AdminTailnet {
  /** Absent while another instance leads. */
  readonly leading: Leading | undefined;
  /** Telemetry that belongs to no particular tailnet. */
  readonly processTelemetry: Telemetry;
  /** Writes the tailnet's page of `/metrics`. */
  readonly scrape: () => Promise<string>;
  /** Call before the receivers listen: gives them the stored webhook secret. */
  recall(): void;
  /** Call once the receivers listen: polls and counts, or waits to lead. */
  begin(): void;
  /** Applies new credentials, tokens and secrets. @throws {ConfigError} */
  reload(config: Config): void;
  /** Reports from now on that the program is stopping. */
  end(): void;
  /** Stops all requests to Tailscale; if the journal is shared, lets another instance lead by the deadline. */
  stopAsking(deadlineMs: number): Promise<void>;
  /** Ends the feeds of events, traffic and live values. */
  closeFeeds(): void;
  /** Call once intake has stopped. Resolves with the number of records left for the next start to deliver. */
  close(deadlineMs: number): Promise<number>;
}

/**
 * Opens the journal. If it is not shared, starts to deliver what is in it.
 * @param name empty if there is only one tailnet
 * @throws {Unavailable} if the journal cannot be used. @throws {ConfigError} if a file of `otlp.tls` cannot be read.
 */
export async function openCore(name: string, config: Config, deps: CoreDeps): Promise<Core> {
  const measured: OpenedDeps["measured"] = { telemetry: silentTelemetry };
  const journal = await openJournal(config, {
    ...deps,
    instance: shownInstance(config, deps.version),
    telemetry: {
      ...silentTelemetry,
      record: (metric, value, attributes) => measured.telemetry.record(metric, value, attributes),
    },
  });
  try {
    return await coreOver(name, config, { ...deps, journal, measured });
  } catch (error) {
    await journal.close();
    throw error;
  }
}

interface OpenedDeps extends CoreDeps {
  readonly journal: AppendingJournal;
  /** Receives the journal's own metrics, once there are instruments. */
  readonly measured: { telemetry: Telemetry };
}

async function coreOver(name: string, config: Config, deps: OpenedDeps): Promise<Core> {
  const { version, place, journal, measured } = deps;
  const { cluster } = journal;
  const firstSeq = journal.lastSeq;
  const settings = processorSettingsOf(config, journal.identity);
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const instanceId = cluster?.member ?? journal.identity.instanceId;
  const instruments = instrumentsOf(config, { settings, version, place, instanceId });
  const telemetry = (measured.telemetry = instruments.telemetry);
  const beginTerm = createTermTelemetry(telemetry);
  let selfLog: Logger = silentLogger;
  const logger = teeLogger(
    deps.logger,
    eachLevel((level) => (message, fields) => selfLog[level](message, fields)),
  );
  const own = cluster && startOwn();
  const endObserving = cluster && observeCluster(cluster, { telemetry, leaseMs: config.state.lease });
  let alone: Leading | undefined;
  let isEnding = false;
  /** The leader's books measure the rows; these only tell if a record is measured at all. */
  const renewal = cluster && setInterval(() => books.edges.renew(), renewMs).unref();
  const terms = createTerms({
    journal,
    logger,
    async make(led) {
      const half = await lead(led);
      half.recall();
      return half;
    },
  });
  const present = (): Leading | undefined => alone ?? terms.leading;
  const reportFirst = createFirstReport(logger);
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    telemetry,
    committed(batch) {
      present()?.committed(batch);
      reportFirst(batch);
    },
    keepsText: () => present()?.wantsText ?? false,
  });
  const notReady = (): readonly string[] => [...notReadyReasons(journal, isEnding), ...deps.closed()];

  function startOwn(): OwnExport {
    const context = { settings, version, instanceId, location: journal.location };
    const started = startOwnExport(config, context, { ...deps, instruments, telemetry, random: Math.random });
    ({ selfLog } = started);
    return started;
  }

  async function lead(led: Journal): Promise<Leading> {
    const term = beginTerm();
    const making = createLeading(cluster === undefined ? config : withoutOwnLines(config), {
      ...deps,
      ...books,
      journal: led,
      settings,
      pipeline,
      ...(cluster === undefined && { instruments }),
      telemetry: term,
      random: Math.random,
      logger,
      plainLogger: deps.logger,
      firstSeq,
      notReady,
      useWebhookSecrets: (secret, previous) => deps.useWebhookSecrets(name, secret, previous),
    });
    return making.catch((error: unknown) => {
      term.end();
      throw error;
    });
  }

  if (cluster === undefined) {
    alone = await lead(await journal.lead(new AbortController().signal));
    ({ selfLog } = alone);
  }
  const following = (): Health => ({
    notReady: notReady(),
    export: { logs: { kind: "following" }, metrics: own?.health.metrics ?? { kind: "following" } },
    polls: [],
    tailnet: [],
  });
  const health = (): Health => present()?.health() ?? following();
  return {
    name,
    config,
    pipeline,
    journal,
    telemetry,
    processTelemetry: instruments.processTelemetry,
    logger,
    get leading() {
      return present();
    },
    leader: () => (cluster === undefined ? "" : leaderText(cluster)),
    health,
    async status() {
      const shared = { version, statePath: config.state.path, space: journal.space };
      const status = present()?.status() ?? { ...shared, ...following() };
      return cluster === undefined ? status : { ...status, cluster: await clusterStatus(cluster) };
    },
    scrape: instruments.page(() => present()?.shown() ?? nothingShown),
    webhookSignedBy: (secret) => present()?.signedBy(secret),
    recall: () => alone?.recall(),
    begin() {
      if (alone === undefined) terms.start();
      else alone.begin();
    },
    reload(next) {
      present()?.reload(next);
      own?.useCredentials(next);
    },
    end: () => void (isEnding = true),
    stopAsking: (deadlineMs) => alone?.stopAsking() ?? terms.stop(deadlineMs),
    closeFeeds: () => alone?.closeFeeds(),
    async close(deadlineMs) {
      await (alone?.finish(deadlineMs) ?? own?.stop(deadlineMs));
      clearInterval(renewal);
      endObserving?.();
      await instruments.stop();
      const pending = alone === undefined ? 0 : alone.pending;
      await attempt("cannot close the journal", logger, () => journal.close());
      return pending;
    },
  };
}

/** How this instance presents itself to others that share its journal. */
function shownInstance({ admin }: Config, version: string) {
  const host = hostname();
  const scheme = usesTls(admin.tls) ? "https" : "http";
  return { host, version, adminAddress: admin.enabled ? urlForOthers(admin.listen, scheme, host) : "" };
}

/** How often the books of an instance that shares its journal are checked; they start anew once they are half full. */
const renewMs = 10_000;

const nothingShown: Fold = { at: 0, since: undefined, metrics: [] };
