/** Access to an instance: through its admin listener while it runs, through its journal while it does not. */
import { destinationStatuses, whyNoDestination } from "../admin/destinations.ts";
import type { EventPage, EventQuery } from "../admin/events/index.ts";
import { createOperations, type Operations } from "../admin/operations.ts";
import type { Overview } from "../admin/overview.ts";
import { type RunningStatus, type Status, statusOf } from "../admin/status.ts";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, type ConfigSources, loadSections } from "../config/index.ts";
import { openSqliteJournal, primaryDestination } from "../journal/index.ts";
import { Ledger } from "../ledger/index.ts";
import { systemClock } from "../lib/clock.ts";
import { connectionError } from "../lib/connection-error.ts";
import { createLog } from "../lib/log.ts";
import { Counting } from "../pipeline/counting.ts";
import { createPipeline, createRetry } from "../pipeline/index.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import { processorSettingsOf } from "../processors/names.ts";
import { isObject } from "../records/members.ts";
import { build } from "../version.ts";
import { type AdminAddress, adminAddresses, urlFlag } from "./admin-address.ts";
import { checkJournal } from "./check-online.ts";
import { configFlags, jsonFlag } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const instanceFlags = {
  ...configFlags,
  ...urlFlag,
  ...jsonFlag,
} as const;

export interface Instance {
  readonly isRunning: boolean;
  /** Its admin listener and the token for it, which may be empty, if it runs. */
  readonly address?: string;
  readonly token?: string;
  readonly operations: Operations;
  /** Less of an instance that does not run. */
  status(): Promise<Status & Partial<RunningStatus>>;
}

export interface RunningInstance extends Instance {
  readonly address: string;
  overview(): Promise<Overview>;
  /** @throws {NoAnswer} also if `signal` aborts. */
  events(query: EventQuery, signal?: AbortSignal): Promise<EventPage>;
}

interface InstanceOptions {
  readonly args: { readonly url?: string | undefined };
  readonly sources: ConfigSources;
  readonly host: Pick<Host, "err">;
}

/**
 * Uses the running instance, or else its journal. Problems in unrelated settings are for `check` to report.
 * @throws {ConfigError} if the configuration file cannot be read, or a flag or a setting of `state` or `admin` is invalid.
 * @throws {Error} if nothing answers and there is no journal that could be opened.
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
  const stopped = openStopped(config, found.message, host);
  try {
    return await use(stopped);
  } finally {
    stopped.close();
  }
}

/**
 * Finds the running instance, and finds it again when it has stopped answering: at another address perhaps, but with the same
 * state directory. @throws {NoAnswer} if there is none, and what `withInstance` throws.
 */
export function createConnection({ args, sources, host }: InstanceOptions): () => Promise<RunningInstance> {
  let { err } = host;
  let statePath: string | undefined;
  return async () => {
    const { found } = await look({ args, sources, host: { err } });
    err = { ...err, write: async () => {} };
    if (found instanceof NoAnswer) throw new NoAnswer([found.message, found.remedy].filter(Boolean).join(". "));
    const status = await found.status();
    statePath ??= status.statePath;
    if (status.statePath !== statePath) throw new NoAnswer(`only another instance answers, at ${found.address}`);
    return found;
  };
}

async function look({ args, sources, host }: InstanceOptions) {
  const inspection = loadSections(sources, ["state", "admin"]);
  const { config } = inspection;
  const { addresses, remark } = adminAddresses(args.url, inspection);
  if (remark !== undefined) await host.err.write(`${remark}\n`);
  let found: RunningInstance | NoAnswer = noPort(config.admin);
  for (const address of addresses) {
    found = await findInstance(address);
    if (!(found instanceof NoAnswer)) break;
  }
  return { found, config };
}

/** No instance answers, or one that did has stopped or is too busy; the message says why. */
export class NoAnswer extends Error {
  constructor(
    message: string,
    readonly remedy = "",
  ) {
    super(message);
  }
}

function noPort({ enabled }: Config["admin"]): NoAnswer {
  return new NoAnswer(
    enabled ? "admin.listen has no fixed port, so a running instance cannot be found" : "admin.enabled is false",
  );
}

/** For the first answer, and for those that take longer because something is done. */
const timeoutMs = { first: 10_000, later: 60_000 };

/**
 * The instance that answers at that address, or why none does.
 * @throws {Error} if another program answers, or if it rejects the token.
 */
async function findInstance({ url: address, token, isRecorded }: AdminAddress): Promise<RunningInstance | NoAnswer> {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };
  let timeout = timeoutMs.first;

  async function ask<Answer>(path: string, body?: object, signals: readonly AbortSignal[] = []): Promise<Answer> {
    const response = await fetch(address + path, {
      method: body === undefined ? "GET" : "POST",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { ...authorization, "content-type": "application/json" },
      redirect: "manual",
      signal: AbortSignal.any([AbortSignal.timeout(timeout), ...signals]),
    }).catch((error: unknown) => {
      throw timeout === timeoutMs.first ? noAnswer(error, address) : lost(error);
    });
    const answer: unknown = await response.json().catch((error: unknown) => {
      // Killed while it was answering.
      if (response.ok && timeout === timeoutMs.later) throw lost(error);
    });
    const text = isObject(answer) && typeof answer["text"] === "string" ? answer["text"] : undefined;
    if (response.status === 401 && text !== undefined) throw new Error(`${address} ${tokenProblem(token)}`);
    if (response.ok && answer !== undefined) return answer as Answer;
    if (response.status === 503 && text !== undefined) throw new NoAnswer(text);
    if (response.status !== 404 && text !== undefined) throw new Error(text);
    throw isRecorded && timeout === timeoutMs.first ? new NoAnswer(foreign(address).message) : foreign(address);
  }

  function lost(error: unknown): NoAnswer {
    const why = connectionError(error, new URL(address).host);
    return new NoAnswer(`the instance has stopped answering (${why}). Check it with: tailscale2otel status`);
  }

  async function status(): Promise<RunningStatus> {
    const answer = await ask<RunningStatus>("/api/v1/status");
    if (!isObject(answer) || !Array.isArray(answer.notReady) || !isObject(answer.conservation)) throw foreign(address);
    return answer;
  }

  try {
    await status();
  } catch (error) {
    if (error instanceof NoAnswer) return error;
    throw error;
  }
  timeout = timeoutMs.later;
  return {
    isRunning: true,
    address,
    token,
    status,
    overview: () => ask("/api/v1/overview"),
    events: ({ waitMs, ...query }, signal) =>
      ask(`/api/v1/events?${parametersOf({ ...query, wait: `${waitMs}ms` })}`, undefined, signal && [signal]),
    operations: {
      list: (query) => ask(`/api/v1/quarantine?${parametersOf(query)}`),
      show: (id) => ask(`/api/v1/quarantine/item?id=${encodeURIComponent(id)}`),
      retry: (selection) => ask("/api/v1/quarantine/retry", selection),
      purge: (selection, deadLetters) => ask("/api/v1/quarantine/purge", { ...selection, deadLetters }),
      replay: (range) => ask("/api/v1/replay", range),
      cancel: (name, destination) => ask("/api/v1/replay/cancel", { name, destination }),
      redeliveries: () => ask("/api/v1/replay"),
    },
  };
}

/** A query string. Lists are written with commas. */
function parametersOf(query: object): string {
  return new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
}

function noAnswer(error: unknown, address: string): NoAnswer {
  const { host, protocol } = new URL(address);
  const why = connectionError(error, host);
  const remedy =
    protocol === "https:" && /TLS|certificate/.test(why)
      ? "The admin listener itself uses http://; with a proxy in front of it, check the proxy's certificate."
      : 'Start the instance, or give the address that it logs as "admin" when it is ready.';
  return new NoAnswer(`no instance answers (${why})`, remedy);
}

function tokenProblem(token: string): string {
  const remedy =
    "Set admin.token (TS2OTEL_ADMIN__TOKEN) to the instance's token, or give the instance's configuration with --config.";
  return token === ""
    ? `requires the admin token, and none is set here. ${remedy}`
    : `rejects the admin token that is set here. ${remedy}`;
}

function foreign(address: string): Error {
  const remedy = "Give the address of the admin listener with --url, or set admin.listen.";
  return new Error(`${address} is not an admin listener: another program or a receiver answers there. ${remedy}`);
}

const elsewhere =
  "If an instance runs with other settings, give this command the same --config or TS2OTEL_… variables, or the instance's admin address with --url.";

/** Why the journal cannot be opened, and what to do; nothing if it can be. */
function obstacleTo(config: Config): string | undefined {
  const { path } = config.state;
  const { kind, detail, remedy = "" } = checkJournal(config);
  switch (kind) {
    case "ready":
      return undefined;
    case "new":
      return `and there is no journal in ${path}. ${elsewhere}`;
    case "memory":
      return `and its journal would be in memory. ${elsewhere}`;
    case "in_use":
      return `although an instance is using ${path}. Set admin.listen as that instance does, or give its admin address with --url.`;
    case "unusable":
      return `and this command ${detail}. ${remedy}`;
    default:
      return `and ${detail}. ${remedy}`;
  }
}

/** Opens the journal without starting anything; dead letters and replays wait for the next run. */
function openStopped(config: Config, silence: string, { err }: Host): Instance & { close(): void } {
  const clock = systemClock;
  const telemetry = silentTelemetry;
  const write = (line: string): void => void err.write(line).catch(() => undefined);
  const logger = createLog({ ...err, level: "warn", format: "text", clock, write });
  const journal = openSqliteJournal(config, { telemetry, logger, clock });
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
    close() {
      counting.close();
      journal.close();
    },
  };
}
