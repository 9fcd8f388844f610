/** One program of a cluster's chaos run, which keeps its addresses and directory across restarts. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/port.ts";
import { launchProgram, type LaunchedProgram, type OtlpEncoding } from "../support/running-program.ts";
import { statusAt } from "../support/foreign-program.ts";
import { until } from "../support/wait.ts";
import { webhookSecret } from "./webhooks.ts";

export interface InstanceOptions {
  readonly name: string;
  readonly command: readonly string[];
  /** The run's directory, which contains the instance's own. */
  readonly directory: string;
  /** The base URL of the OTLP receiver. */
  readonly endpoint: string;
  readonly encoding: OtlpEncoding;
  readonly settings: Readonly<Record<string, string>>;
}

export interface Instance {
  readonly name: string;
  /** Base URL of the stream and webhook receivers. */
  readonly base: string;
  readonly admin: string;
  /** Launched and not ended, even if frozen. */
  readonly isRunning: boolean;
  /** Resolves once it is launched. */
  launch(): Promise<void>;
  /** Resolves once it accepts records. @throws {Error} if it exits first. */
  ready(): Promise<void>;
  kill(): Promise<void>;
  /** Returns its exit code. */
  stop(): Promise<number | null>;
  freeze(): void;
  thaw(): void;
  /** Its output, across all restarts. */
  output(): string;
}

export async function createInstance(options: InstanceOptions): Promise<Instance> {
  const { name, command, endpoint, encoding } = options;
  const directory = join(options.directory, name);
  mkdirSync(directory);
  const port = await freePort();
  const adminPort = await freePort();
  const settings = {
    TS2OTEL_WEBHOOK__ENABLED: "true",
    TS2OTEL_WEBHOOK__SECRET: webhookSecret,
    TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${port}`,
    TS2OTEL_OTLP__METRIC_INTERVAL: "200ms",
    TS2OTEL_OTLP__LOGS__MAX_RECORDS: "200",
    TS2OTEL_CARDINALITY__FLOW__METRICS_MODE: "both",
    ...options.settings,
  };
  const admin = `http://127.0.0.1:${adminPort}`;
  let program: LaunchedProgram | undefined;
  let last: LaunchedProgram | undefined;

  const current = (): LaunchedProgram => {
    if (program === undefined) throw new Error(`${name} is not running`);
    return program;
  };
  const signal = (which: NodeJS.Signals) => process.kill(current().pid, which);

  return {
    name,
    base: `http://127.0.0.1:${port}`,
    admin,
    get isRunning() {
      return program !== undefined;
    },
    async launch() {
      program = await launchProgram({ command, directory, endpoint, encoding, port, adminPort, settings });
      last = program;
      const launched = program;
      void launched.ended.then(() => {
        if (program === launched) program = undefined;
      });
    },
    ready: () =>
      until(async () => {
        if (program === undefined) throw new Error(`${name} ended by itself`);
        return (await statusAt(`${admin}/readyz`)) === 200;
      }),
    async kill() {
      await current().kill();
      program = undefined;
    },
    async stop() {
      const code = await current().stop();
      program = undefined;
      return code;
    },
    freeze: () => signal("SIGSTOP"),
    thaw: () => signal("SIGCONT"),
    output: () => last?.output() ?? "",
  };
}
