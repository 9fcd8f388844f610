/** Access to an instance: through its admin listener if it runs, otherwise through its journal. */
import { destinationStatuses, whyNoDestination } from "../admin/destinations.ts";
import { createOperations, type Operations } from "../admin/operations.ts";
import { type InstanceStatus, isFollower, whomToAsk } from "../admin/cluster.ts";
import { type Status, statusOf } from "../admin/status.ts";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, type ConfigSources, databaseText, loadSections } from "../config/index.ts";
import { openJournal, primaryDestination } from "../journal/index.ts";
import { Ledger } from "../ledger/index.ts";
import { systemClock } from "../lib/clock.ts";
import { createLog } from "../lib/log.ts";
import { printable } from "../lib/text.ts";
import { Counting } from "../pipeline/counting.ts";
import { createPipeline, createRetry } from "../pipeline/index.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/settings.ts";
import { build } from "../version.ts";
import { adminAddresses, urlFlag } from "./admin-address.ts";
import { type AdminClient, findInstance, NoAnswer } from "./admin-client.ts";
import { checkJournal } from "./check-state.ts";
import { chosenTailnet, configFlags, jsonFlag, tailnetFlag } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const instanceFlags = {
  ...configFlags,
  ...urlFlag,
  ...tailnetFlag,
  ...jsonFlag,
} as const;

export interface Instance {
  readonly isRunning: boolean;
  /** Its admin listener, if it is running. */
  readonly address?: string;
  readonly operations: Operations;
  /** Has less detail if the instance is not running. */
  status(): Promise<InstanceStatus | Status>;
}

interface InstanceOptions {
  readonly args: { readonly url?: string | undefined; readonly tailnet?: string | undefined };
  readonly sources: ConfigSources;
  readonly host: Pick<Host, "err">;
  /** Aborts all requests. */
  readonly stop?: AbortSignal;
}

/**
 * Uses the running instance, or else its journal. Problems in unrelated settings are left for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, or a flag or a setting of `state` or `admin` is invalid.
 * @throws {Error} if no instance responds and no journal can be opened.
 */
export async function withInstance<Result>(
  options: InstanceOptions & { readonly host: Host },
  use: (instance: Instance) => Promise<Result>,
): Promise<Result> {
  const { args, host } = options;
  const { found, config } = await look(options);
  if (!(found instanceof NoAnswer)) return use(found);
  if (args.url !== undefined) throw new Error(`${found.message}. ${found.remedy}`);
  const obstacle = obstacleTo(config);
  if (obstacle !== undefined) throw new Error(`${found.message}, ${obstacle}`);
  const stopped = await openStopped(config, found.message, host);
  try {
    return await use(stopped);
  } finally {
    await stopped.close();
  }
}

/**
 * Finds the running instance, and finds it again after it stops responding, possibly at another address but with the same state
 * directory. @throws {NoAnswer} if there is none, any error of `withInstance`, and an error if it is not the leader.
 */
export function createConnection({ args, sources, host, stop }: InstanceOptions): () => Promise<AdminClient> {
  let { err } = host;
  let statePath: string | undefined;
  return async () => {
    const { found } = await look({ args, sources, host: { err }, ...(stop && { stop }) });
    err = { ...err, write: async () => {} };
    if (found instanceof NoAnswer) throw new NoAnswer([found.message, found.remedy].filter(Boolean).join(". "));
    const status = await found.status();
    if (isFollower(status)) throw new Error(printable(whomToAsk(status.cluster)));
    statePath ??= status.statePath;
    if (status.statePath !== statePath) throw new NoAnswer(`only another instance answers, at ${found.address}`);
    return found;
  };
}

/** The instance and the configuration of the selected tailnet. With `--url`, the instance resolves the tailnet's name. */
async function look({ args, sources, host, stop }: InstanceOptions) {
  const inspection = loadSections(sources, ["state", "admin", "tailnet"]);
  const { config } = args.url === undefined ? chosenTailnet(inspection.config, args.tailnet) : inspection;
  const { addresses, remark, problem } = adminAddresses(args.url, inspection);
  if (remark !== undefined) await host.err.write(`${remark}\n`);
  const start = "Start the instance, or give the address of another one with --url.";
  const why = "admin.listen has no fixed port, so a running instance cannot be found";
  const noPort = new NoAnswer(config.admin.enabled ? why : "admin.enabled is false");
  let found: AdminClient | NoAnswer = problem === undefined ? noPort : new NoAnswer(problem, start);
  for (const address of addresses) {
    found = await findInstance(address, stop, args.tailnet);
    if (!(found instanceof NoAnswer)) break;
  }
  return { found, config };
}

const elsewhere =
  "If an instance runs with other settings, give this command the same --config or TS2OTEL_… variables, or the instance's admin address with --url.";

/** Why the journal cannot be opened, and what to do; undefined if it can be. */
function obstacleTo(config: Config): string | undefined {
  const { path, url } = config.state;
  if (url !== "")
    return `and the journal in ${databaseText(config.state)} may be led by an instance elsewhere. Start the one here, or give the admin address of another with --url.`;
  const { kind, detail, remedy = "" } = checkJournal(path);
  switch (kind) {
    case "ready":
      return undefined;
    case "new":
      return `and there is no journal in ${path}. ${elsewhere}`;
    case "memory":
      return `and its journal would be in memory. ${elsewhere}`;
    case "in_use":
      return `although an instance is using ${path}. Set admin.listen as that instance does, or give its admin address with --url; with admin.enabled = false it has none.`;
    case "unusable":
      return `and this command ${detail}. ${remedy}`;
    default:
      return `and ${detail}. ${remedy}`;
  }
}

/** Opens the journal without starting anything; dead letters and replays are delivered by the next run. */
async function openStopped(
  config: Config,
  silence: string,
  { err }: Host,
): Promise<Instance & { close(): Promise<void> }> {
  const clock = systemClock;
  const telemetry = silentTelemetry;
  const write = (line: string): void => void err.write(line).catch(() => undefined);
  const logger = createLog({ ...err, level: "warn", format: "text", clock, write });
  const opened = await openJournal(config, { telemetry, logger, clock });
  const journal = await opened.lead(new AbortController().signal);
  const settings = processorSettingsOf(config, journal.identity);
  const ledger = new Ledger(config, { journal, logger });
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ journal, ledger, settings, ...books, logger });
  const committed = counting.committed.bind(counting);
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    telemetry,
    committed,
    keepsText: () => false,
  });
  const deps = {
    journal,
    retryRecord: createRetry(pipeline, journal, clock),
    privacy: settings.privacy,
    clock,
    cannotSend: (destination = primaryDestination) => whyNoDestination(journal, destination),
    redeliver() {},
    troubleOf: () => undefined,
  };
  return {
    isRunning: false,
    operations: createOperations(deps),
    async status() {
      await counting.catchUp();
      const status = statusOf({
        ...deps,
        ledger,
        counting,
        dedup: config.dedup,
        version: build.version,
        statePath: config.state.path,
        notReady: () => [`not running: ${silence}`],
        lastSuccess: () => ({}),
      });
      return { ...status, destinations: destinationStatuses(journal, []) };
    },
    async close() {
      counting.close();
      await journal.close();
    },
  };
}
