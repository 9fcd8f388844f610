/** The `run` command: runs the service until it is asked to stop. */
import { type App, type AppDeps, startApp } from "../app/index.ts";
import {
  type Config,
  type ConfigSources,
  describeFinding,
  displayUrl,
  inspectConfig,
  type Inspection,
  isPolled,
  tailnetConfigs,
  databaseText,
} from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { ListenError } from "../http/listener.ts";
import { waitAtMost } from "../lib/backoff.ts";
import { systemClock } from "../lib/clock.ts";
import { memoryPath } from "../journal/index.ts";
import type { LogFields } from "../lib/logger.ts";
import { createLog, type Log } from "../lib/log.ts";
import { onSignal } from "../runtime/process.ts";
import { build } from "../version.ts";
import { whyUnusableState } from "./check-state.ts";
import { command, programName } from "./command.ts";
import { configFlags } from "./flags.ts";
import { createReload } from "./reload.ts";
import type { Host } from "./terminal.ts";

export const runCommand = command({
  name: "run",
  description: "Run the service",
  args: configFlags,
  examples: [
    ["tailscale2otel run", "with ./tailscale2otel.toml, /etc/tailscale2otel/config.toml, or variables alone"],
    ["tailscale2otel run --config edge.toml --set log_level=debug", "one setting changed for this run"],
  ],
  notes:
    "SIGINT and SIGTERM stop it within 20 s; a second one stops it at once, which is safe. SIGHUP reloads tokens, secrets, certificates and log_level. If it was started in a terminal, SIGHUP stops it, since that is what closing the terminal sends.",
  run: ({ sources, host }) => serve(sources, host),
});

/** The process ends within 20 s in total, whatever the backend does. */
const stopDeadlineMs = 19_500;

/** With a damaged journal, only responses to senders remain to be finished. */
const damagedStopMs = 2_000;

async function serve(sources: ConfigSources, host: Host): Promise<number> {
  const loaded = await load(sources, host);
  const log = logOf(loaded, host);
  for (const warning of loaded.warnings) log.warn(describeFinding(warning));
  const stop = listenForStop(host);
  let isDamaged = false;
  const reload = createReload(loaded, sources, log);
  const releaseReload = isStoppedByHangup(host) ? () => {} : onSignal("SIGHUP", () => reload.ask("SIGHUP"));
  const deps: AppDeps = {
    logger: log,
    clock: systemClock,
    build,
    workerEntry: host.workerEntry,
    onStdoutClosed: () => stop.ask("closed output"),
    onDamage() {
      isDamaged = true;
      stop.ask("damaged journal");
    },
  };
  let app: App | undefined;
  let pending = 0;
  try {
    app = await startApp(loaded, deps).catch((error: unknown) => {
      throw error instanceof ListenError ? withSetting(error, loaded.config) : error;
    });
    reload.begin(app);
    log.info("ready", { version: build.version, ...app.addresses, poll: polledLogs(loaded.config) });
    for (const [message, fields] of surroundings(loaded.config)) log.info(message, fields);
    const reason = await stop.asked;
    log.info("stopping", { reason });
  } finally {
    reload.stop();
    const deadlineMs = isDamaged ? damagedStopMs : stopDeadlineMs;
    if (app !== undefined) ({ pending } = await within(deadlineMs, app.stop(deadlineMs)));
    releaseReload();
    stop.release();
  }
  log.info("stopped", pending > 0 ? { pending } : {});
  return isDamaged ? 1 : 0;
}

/** The polled logs, with names of tailnets if there are several; undefined if nothing is polled. */
function polledLogs(all: Config): string | undefined {
  const each = tailnetConfigs(all).flatMap(({ name, config }) => {
    const logs = { flow: isPolled(config, "flowlogs"), audit: isPolled(config, "auditlogs") };
    const polled = Object.entries(logs).flatMap(([log, isRead]) => (isRead ? [log] : []));
    return polled.length === 0 ? [] : `${name === "" ? "" : `${name}: `}${polled.join(", ")}`;
  });
  return each.join("; ") || undefined;
}

/** Log messages about where data is sent and stored. */
function surroundings(all: Config): readonly (readonly [message: string, fields: LogFields])[] {
  const { otlp } = all;
  return [
    exportingOf(otlp),
    ...otlp.also.map((one) => ["exporting", { destination: one.name, ...addressesOf(one) }] as const),
    ["keeping state", { in: placeOf(all) }],
  ];
}

function placeOf(all: Config): string {
  const { state } = all;
  if (state.url !== "") {
    const schemas = tailnetConfigs(all).map(({ config }) => config.state.schema);
    return databaseText({ ...state, schema: schemas.join(", ") });
  }
  return state.path === memoryPath ? "memory" : state.path;
}

function exportingOf(otlp: Config["otlp"]): readonly [message: string, fields: LogFields] {
  const addresses = addressesOf(otlp);
  if (addresses["to"] !== notExported) return ["exporting", addresses];
  const isLocal = otlp.logs.enabled || otlp.metrics.enabled;
  return [
    "nothing is exported",
    { why: isLocal ? "otlp.endpoint is not set (local mode)" : "both signals are disabled" },
  ];
}

const notExported = "not exported";

function addressesOf(otlp: Config["otlp"] | Config["otlp"]["also"][number]): LogFields {
  const { protocol, endpoint } = otlp;
  const to = ({ enabled, endpoint: own }: { readonly enabled: boolean; readonly endpoint: string }): string => {
    if (!enabled) return notExported;
    if (protocol === "stdout") return "standard output";
    const url = own || endpoint;
    return url === "" ? notExported : displayUrl(url);
  };
  const [logs, metrics] = [to(otlp.logs), to(otlp.metrics)];
  return { ...(logs === metrics ? { to: logs } : { logs, metrics }), protocol };
}

/** Warnings are written before errors, which they may explain: a setting may be missing because its variable is misspelt. */
async function load(sources: ConfigSources, { err }: Host): Promise<Inspection> {
  const inspection = inspectConfig({ ...sources, whyUnusableState });
  const { problems, warnings } = inspection;
  if (problems.length === 0) return inspection;
  await err.write(warnings.map((warning) => `${programName}: warning: ${describeFinding(warning)}\n`).join(""));
  throw new ConfigError(problems.map(describeFinding));
}

function logOf({ config }: Inspection, { err }: Host): Log {
  return createLog({
    level: config.log_level,
    format: config.log_format,
    isTerminal: err.isTerminal,
    hasColor: err.hasColor,
    clock: systemClock,
    // A closed log stream cannot be reported anywhere.
    write: (line) => void err.write(line).catch(() => {}),
  });
}

/**
 * The first signal asks for an orderly stop, and a second one ends the process at once; undelivered data is in the journal.
 * `asked` resolves with the reason.
 */
function listenForStop(host: Host) {
  const { promise: asked, resolve: ask } = Promise.withResolvers<string>();
  let isSignalled = false;
  const end = (signal: string, code: number): void => {
    if (isSignalled) host.exit(code);
    isSignalled = true;
    ask(signal);
  };
  const releases = [onSignal("SIGINT", () => end("SIGINT", 130)), onSignal("SIGTERM", () => end("SIGTERM", 143))];
  if (isStoppedByHangup(host)) releases.push(onSignal("SIGHUP", () => end("SIGHUP", 129)));
  return { asked, ask, release: () => releases.forEach((release) => release()) };
}

/**
 * The terminal was closed. Without this, the program would keep running unseen. On Windows, the signal has no other meaning.
 */
function isStoppedByHangup({ isInteractive, system }: Host): boolean {
  return isInteractive || system.platform === "win32";
}

/** Adds the setting's name. Only receivers that share a listener can have the same address. */
function withSetting(error: ListenError, config: Config): Error {
  const section = (["admin", "streaming", "webhook"] as const).find(
    (name) => config[name].enabled && config[name].listen === error.address,
  );
  return section === undefined ? error : new Error(error.messageFor(`${section}.listen`), { cause: error });
}

/** @throws {Error} if it takes longer, which does not happen with components that honor their deadline. */
async function within<Result>(deadlineMs: number, work: Promise<Result>): Promise<Result> {
  const graceMs = 500;
  let isLate = true;
  await waitAtMost(
    work.finally(() => (isLate = false)),
    deadlineMs + graceMs,
  );
  if (!isLate) return work;
  throw new Error(`did not stop within ${deadlineMs / 1000} s; everything accepted is in the journal`);
}
