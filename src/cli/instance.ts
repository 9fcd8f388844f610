/** The way to what an instance keeps: through its admin listener while it runs, into its journal while it does not. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createKept, type Kept } from "../admin/kept.ts";
import { type Status, statusOf } from "../admin/status.ts";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, displayUrl, inspectConfig, parseListen } from "../config/index.ts";
import { memoryPath } from "../journal/directory.ts";
import { openJournal } from "../journal/index.ts";
import { journalOptionsOf } from "../journal/options.ts";
import { Ledger } from "../ledger/index.ts";
import { ledgerOptionsOf } from "../ledger/options.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { createLog } from "../lib/log.ts";
import { logLimitOf, storeLimitsOf } from "../pipeline/options.ts";
import { recover } from "../pipeline/recover.ts";
import { createRetry } from "../pipeline/retry.ts";
import { processorOptionsOf } from "../processors/options.ts";
import { build } from "../version.ts";
import { askAdmin, remoteKept } from "./admin-client.ts";
import { type Flags, UsageError } from "./flags.ts";
import { configFlags, sourcesOf } from "./sources.ts";
import type { Host } from "./terminal.ts";

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
 * Mistakes in settings that have nothing to do with it are the business of `check`.
 * @throws {Error} where nothing answers and there is no journal to open, or another process holds it.
 */
export async function openInstance(flags: Flags, host: Host): Promise<Instance> {
  const { config } = inspectConfig(sourcesOf(flags, host));
  const url = flags.values.get("url")?.[0];
  const address = url === undefined ? addressOf(config) : checkedUrl(url);
  const ask = address === undefined ? undefined : askAdmin(address, config.admin.token);
  if (ask !== undefined && (await ask.isThere())) {
    return {
      isRunning: true,
      kept: remoteKept(ask),
      status: () => ask.get<Status>("/api/status"),
      close() {},
    };
  }
  const silence =
    address === undefined ? "admin.listen names no port to ask" : `nothing answers at ${displayUrl(address)}`;
  if (url !== undefined) throw new Error(silence);
  return openStore(config, silence, host);
}

/** Nothing where there is no listener, or nobody knows on which port it is. */
function addressOf({ admin }: Config): string | undefined {
  const listen = parseListen(admin.listen);
  if (!admin.enabled || listen === undefined || listen.port === 0) return undefined;
  const name = listen.hostname ?? "localhost";
  const isEverywhere = name === "0.0.0.0" || name === "::";
  return `http://${isEverywhere ? "localhost" : name.includes(":") ? `[${name}]` : name}:${listen.port}`;
}

function checkedUrl(url: string): string {
  if (URL.canParse(url) && /^https?:\/\//i.test(url)) return url.replace(/\/+$/, "");
  throw new UsageError(`--url takes an address that begins with http:// or https://, not ${JSON.stringify(url)}`);
}

function openStore(config: Config, silence: string, host: Host): Instance {
  const { path } = config.state;
  if (path === memoryPath || !existsSync(join(path, "journal.db")))
    throw new Error(`${silence}, and there is no journal in ${path === memoryPath ? "memory to open" : path}`);
  const logger = loggerTo(host);
  const journal = openJournal(journalOptionsOf(config), { telemetry: silentTelemetry, logger, clock: systemClock });
  const { identitySecret, privacySalt, tailnet, createdAt } = journal.identity;
  const processors = processorOptionsOf(config, { identityKey: { secret: identitySecret, tailnet }, privacySalt });
  const options = { comparesFacts: config.webhook.dedup_audit_events, logLimit: logLimitOf(config) };
  const deps = {
    journal,
    retryRecord: createRetry(journal, processors, options, systemClock),
    privacy: processors.privacy,
    clock: systemClock,
    cannotSend: () => undefined,
    redeliver() {},
    troubleOf: () => undefined,
  };
  return {
    isRunning: false,
    kept: createKept(deps),
    async status() {
      const ledger = new Ledger(ledgerOptionsOf(config), createdAt);
      recover(journal, ledger, processors, logger);
      return statusOf({
        ...deps,
        ledger,
        limits: storeLimitsOf(config),
        version: build.version,
        notReady: () => [`it is not running: ${silence}`],
        lastSuccess: () => ({}),
      });
    },
    close: () => journal.close(),
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
