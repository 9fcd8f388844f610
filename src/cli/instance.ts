/** Access to an instance: through its admin listener while it runs, through its journal while it does not. */
import { createOperations, type Operations } from "../admin/operations.ts";
import { type RunningStatus, type Status, statusOf } from "../admin/status.ts";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, loadSections } from "../config/index.ts";
import { openSqliteJournal } from "../journal/index.ts";
import { Ledger } from "../ledger/index.ts";
import { systemClock } from "../lib/clock.ts";
import { parseListen, urlOfListen } from "../lib/listen.ts";
import { createLog } from "../lib/log.ts";
import { Counting } from "../pipeline/counting.ts";
import { createPipeline, createRetry } from "../pipeline/index.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/names.ts";
import { build } from "../version.ts";
import { findInstance, NoAnswer } from "./admin-client.ts";
import { checkJournal } from "./check-finding.ts";
import { configFlags, type Flags, jsonFlag, option, sourcesOf, urlOf } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const instanceFlags = {
  ...configFlags,
  url: option("address", "The admin listener of the instance. (Default: admin.listen, on this machine)"),
  ...jsonFlag,
} as const;

export interface Instance {
  readonly isRunning: boolean;
  readonly operations: Operations;
  /** Less of an instance that does not run. */
  status(): Promise<Status & Partial<RunningStatus>>;
}

/**
 * Uses the running instance, or else its journal. Problems in unrelated settings are for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, or a flag or a setting of `state` or `admin` is invalid.
 * @throws {Error} if nothing answers and there is no journal that could be opened.
 */
export async function withInstance<Result>(
  flags: Flags,
  host: Host,
  use: (instance: Instance) => Promise<Result>,
): Promise<Result> {
  const { config } = loadSections(sourcesOf(flags, host), ["state", "admin"]);
  const url = flags.values.get("url")?.[0];
  const address = url === undefined ? addressOf(config) : urlOf(url).href.replace(/\/+$/, "");
  let silence = "admin.listen gives no port at which an instance could be asked";
  if (address !== undefined) {
    const found = await findInstance(address, config.admin.token);
    if (!(found instanceof NoAnswer)) return use({ ...found, isRunning: true });
    silence = `no instance answers (${found.message})`;
  }
  if (url !== undefined) throw new Error(silence);
  const store = openStore(config, silence, host);
  try {
    return await use(store);
  } finally {
    store.close();
  }
}

/** Nothing if there is no listener, or its port is chosen by the system. */
function addressOf({ admin }: Config): string | undefined {
  const listen = parseListen(admin.listen);
  if (!admin.enabled || listen === undefined || listen.port === 0) return undefined;
  return urlOfListen(admin.listen, "http");
}

const elsewhere =
  "If it runs with other settings, give the same --config or TS2OTEL_… variables here, or its admin address with --url.";

/** What stands against opening the journal, and what to do; nothing if it can be opened. */
function obstacleTo(config: Config): string | undefined {
  const { path } = config.state;
  const { kind, detail, remedy } = checkJournal(config);
  if (kind === "ready") return undefined;
  if (kind === "new") return `and there is no journal in ${path}. ${elsewhere}`;
  if (kind === "memory") return `and its journal would be in memory. ${elsewhere}`;
  if (kind === "in_use")
    return `although one uses ${path}: give its admin address with --url, or set admin.listen as it does.`;
  return `and ${detail}. ${remedy ?? ""}`;
}

/** @throws {Error} with what to do if the journal cannot be opened. */
function openStore(config: Config, silence: string, host: Host): Instance & { close(): void } {
  const obstacle = obstacleTo(config);
  if (obstacle !== undefined) throw new Error(`${silence}, ${obstacle}`);
  const clock = systemClock;
  const telemetry = silentTelemetry;
  const { err } = host;
  const write = (line: string): void => void err.write(line).catch(() => undefined);
  const logger = createLog({ ...err, level: "warn", format: "text", clock, write });
  const journal = openSqliteJournal(config, { telemetry, logger, clock });
  const settings = processorSettingsOf(config, journal.identity);
  const ledger = new Ledger(config, { journal, logger });
  const books = { edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ journal, ledger, settings, ...books, logger });
  const pipeline = createPipeline(config, {
    journal,
    settings,
    ...books,
    telemetry,
    committed: (batch) => counting.committed(batch),
    keepsText: () => false,
  });
  const deps = {
    journal,
    retryRecord: createRetry(pipeline, journal, clock),
    privacy: settings.privacy,
    clock,
    cannotSend: () => undefined,
    redeliver() {},
    troubleOf: () => undefined,
  };
  return {
    isRunning: false,
    operations: createOperations(deps),
    async status() {
      await counting.catchUp();
      return statusOf({
        ...deps,
        ledger,
        counting,
        dedup: config.dedup,
        version: build.version,
        notReady: () => [`not running: ${silence}`],
        lastSuccess: () => ({}),
      });
    },
    close() {
      counting.close();
      journal.close();
    },
  };
}
