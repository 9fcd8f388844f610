/** Access to an instance: through its admin listener while it runs, through its journal while it does not. */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Flags, UsageError } from "./flags.ts";
import { configFlags, sourcesOf } from "./sources.ts";
import type { Host } from "./terminal.ts";
import { type Config, displayUrl, loadSections } from "../config/index.ts";
import { systemClock } from "../lib/clock.ts";
import { parseListen, urlOfListen } from "../lib/listen.ts";
import { createLog } from "../lib/log.ts";
import type { Logger } from "../lib/logger.ts";
import { build } from "../version.ts";
import { createKept, type Kept } from "../admin/kept.ts";
import { type Status, statusOf } from "../admin/status.ts";
import type { Journal } from "../journal/index.ts";
import { inspectJournal } from "../journal/inspection.ts";
import { openSqliteJournal } from "../journal/sqlite/index.ts";
import { Ledger } from "../ledger/index.ts";
import { Counting } from "../pipeline/counting.ts";
import { createPipeline } from "../pipeline/index.ts";
import { createRetry } from "../pipeline/retry.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/names.ts";
import { askAdmin, remoteKept } from "./admin-client.ts";

export const instanceFlags = {
  ...configFlags,
  url: {
    type: "string",
    valueHint: "address",
    description: "The admin listener of the instance. (Default: that of the configuration, on this machine)",
  },
  json: { type: "boolean", description: "JSON instead of text; as in a pipe." },
} as const;

export interface Instance {
  readonly isRunning: boolean;
  readonly kept: Kept;
  status(): Promise<Status>;
  close(): void;
}

/**
 * Connects to the running instance, or else opens its journal. Mistakes in unrelated settings are for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, or a flag or a setting of `state` or `admin` is invalid.
 * @throws {Error} if nothing answers and there is no journal to open, or another process uses it.
 */
export async function openInstance(flags: Flags, host: Host): Promise<Instance> {
  const { config } = loadSections(sourcesOf(flags, host), ["state", "admin"]);
  const url = flags.values.get("url")?.[0];
  const address = url === undefined ? addressOf(config) : checkedUrl(url);
  const client = address === undefined ? undefined : askAdmin(address, config.admin.token);
  if (client !== undefined && (await client.isThere())) {
    return {
      isRunning: true,
      kept: remoteKept(client),
      status: () => client.get<Status>("/api/status"),
      close() {},
    };
  }
  const silence =
    address === undefined ? "admin.listen names no port to ask" : `nothing answers at ${displayUrl(address)}`;
  if (url !== undefined) throw new Error(silence);
  return openStore(config, silence, host);
}

/** Nothing if there is no listener, or its port is chosen by the system. */
function addressOf({ admin }: Config): string | undefined {
  const listen = parseListen(admin.listen);
  if (!admin.enabled || listen === undefined || listen.port === 0) return undefined;
  return urlOfListen(admin.listen, "http");
}

function checkedUrl(url: string): string {
  if (URL.canParse(url) && /^https?:\/\//i.test(url)) return url.replace(/\/+$/, "");
  throw new UsageError(`--url takes an address that begins with http:// or https://, not ${JSON.stringify(url)}`);
}

/** @throws {Error} with what to do if an instance uses the journal that was not reached. */
function openUnused(config: Config, silence: string, deps: Parameters<typeof openSqliteJournal>[1]): Journal {
  try {
    return openSqliteJournal(config, deps);
  } catch (error) {
    const { path } = config.state;
    if (inspectJournal(path).kind !== "in_use") throw error;
    throw new Error(`an instance uses ${path}, but ${silence}: give its address with --url or admin.listen`, {
      cause: error,
    });
  }
}

/** The instance behind its journal. `silence`: why it was not reached, for the person. */
function openStore(config: Config, silence: string, host: Host): Instance {
  const { kind } = inspectJournal(config.state.path);
  if (kind === "memory") throw new Error(`${silence}, and its journal is in memory`);
  if (kind === "new") throw new Error(`${silence}, and there is no journal in ${config.state.path}`);
  const logger = loggerTo(host);
  const clock = systemClock;
  const telemetry = silentTelemetry;
  const journal = openUnused(config, silence, { telemetry, logger, clock });
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
    kept: createKept(deps),
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

function loggerTo({ err }: Host): Logger {
  return createLog({
    level: "warn",
    format: "auto",
    isTerminal: err.isTerminal,
    hasColour: err.hasColour,
    clock: systemClock,
    write: (line) => void err.write(line).catch(() => undefined),
  });
}
