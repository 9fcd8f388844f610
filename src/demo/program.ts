/** The real program in this process: on a free port of loopback, with its state in a directory of the demo's own. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { createApp } from "../app.ts";
import type { App } from "../app.ts";
import { loadConfig } from "../config/index.ts";
import type { Loaded } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { seriesOf } from "../ledger/series.ts";
import { build } from "../version.ts";
import type { Watched } from "./moment.ts";

export interface ProgramOptions {
  /** An empty directory for its state. */
  readonly directory: string;
  /** Base address of an OTLP backend; without it nothing is sent anywhere. */
  readonly endpoint: string | undefined;
  /** Where headers and the protocol of the backend may be given. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  readonly logger: Logger;
  /** Called when standard output has lost its reader. */
  readonly onStdoutClosed: () => void;
}

/** Where to send to: a full address, and what proves that one may. */
export interface Door {
  readonly url: string;
  readonly secret: string;
}

export interface Program {
  /** Takes records. */
  readonly stream: Door;
  /** Takes webhooks. */
  readonly webhook: Door;
  readonly watched: Watched;
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Resolves when it listens.
 * @throws {ConfigError} when the endpoint, or a variable about it, cannot be used.
 */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const token = randomBytes(18).toString("base64url");
  const secret = `tskey-webhook-${randomBytes(18).toString("base64url")}`;
  const app = createApp(await configuration(options, { token, secret }), {
    logger: options.logger,
    clock: systemClock,
    build,
    workerEntry: options.workerEntry,
    onStdoutClosed: options.onStdoutClosed,
  });
  await app.start();
  const { stream, webhook } = app.addresses;
  if (stream === undefined || webhook === undefined) throw new Error("the receivers do not listen");
  return {
    stream: { url: `${stream}/services/collector/event`, secret: token },
    webhook: { url: `${webhook}/tailscale/webhook`, secret },
    watched: watchedOf(app),
    stop: async (deadlineMs) => void (await app.stop(deadlineMs)),
  };
}

/** Variables that say how to reach a backend; all others are the business of a real installation. */
const backendVariable = /^(TS2OTEL_OTLP__|OTEL_EXPORTER_OTLP_)/;

async function configuration(
  options: ProgramOptions,
  { token, secret }: { readonly token: string; readonly secret: string },
): Promise<Loaded> {
  const { directory, endpoint, environment } = options;
  // Naming an empty file keeps those of a real installation out.
  const configPath = join(directory, "demo.toml");
  await writeFile(configPath, "");
  const backend = Object.entries(environment).filter(([name]) => endpoint !== undefined && backendVariable.test(name));
  const assignments = [
    "streaming.enabled=true",
    "streaming.listen=127.0.0.1:0",
    `streaming.token=${token}`,
    "webhook.enabled=true",
    "webhook.listen=127.0.0.1:0",
    `webhook.secret=${secret}`,
    "collectors.flowlogs.source=stream",
    "collectors.auditlogs.source=stream",
    "otlp.metric_interval=1s",
    `state.path=${join(directory, "state")}`,
    "admin.listen=127.0.0.1:0",
    ...(endpoint === undefined ? [] : [`otlp.endpoint=${endpoint}`]),
  ];
  try {
    return loadConfig({
      configPath,
      environment: Object.fromEntries(backend),
      assignments,
      workingDirectory: directory,
      system: { platform: process.platform, homeDirectory: homedir() },
    });
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(error.problems.map(inFlagsOfDemo)) : error;
  }
}

/** The demo's own name for the one setting that its user gives. */
function inFlagsOfDemo(problem: string): string {
  return problem.replaceAll("--set otlp.endpoint=", "--endpoint ").replaceAll("--set otlp.endpoint", "--endpoint");
}

function watchedOf(app: App): Watched {
  return {
    sums: () => app.status().conservation,
    fold() {
      const { at, metrics } = app.ledger();
      const seriesOfName = (name: string) => {
        const found = metrics.find((metric) => metric.name === name);
        return found === undefined ? [] : [...seriesOf(found)];
      };
      return { at, series: seriesOfName };
    },
    events: (fromSeq, limit) => app.events(fromSeq, limit),
  };
}
