/** Runs the program in its own process, configured by environment variables alone, as the README describes. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { statusAt } from "./foreign-program.ts";
import { freePort } from "./port.ts";
import { until } from "./wait.ts";

export type OtlpEncoding = "json" | "protobuf";

export interface ProgramOptions {
  /** The executable and its first arguments; `run` is added. */
  readonly command: readonly string[];
  /** The directory for its state and output. A second run with the same directory continues where the first stopped. */
  readonly directory: string;
  /** The base URL of the OTLP receiver. */
  readonly endpoint: string;
  readonly encoding: OtlpEncoding;
  /** The stream receiver's port, if its address must survive a restart. */
  readonly port?: number;
  /** The admin listener's port, if its address must be known in advance. */
  readonly adminPort?: number;
  /** True if `settings` enable TLS on the stream receiver. */
  readonly isSecure?: boolean;
  /** Environment variables in addition to those every test needs. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningProgram {
  /** The address of the stream receiver. */
  readonly url: string;
  /** The address of the admin listener. */
  readonly admin: string;
  readonly pid: number;
  readonly token: string;
  /** Its output so far. */
  output(): string;
  /** Asks it to stop and returns its exit code. */
  stop(): Promise<number | null>;
  /** Kills it, as a power failure would. */
  kill(): Promise<void>;
}

export interface LaunchedProgram extends RunningProgram {
  /** Its exit code, once it has stopped; null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Resolves when it reports healthy. @throws {Error} if it exits first. */
  healthy(): Promise<void>;
}

/** Resolves when it reports healthy. @throws {Error} if it exits first. */
export async function startProgram(options: ProgramOptions): Promise<RunningProgram> {
  const program = await launchProgram(options);
  await program.healthy();
  return program;
}

/** Resolves as soon as the process exists, so that it can be stopped during startup. */
export async function launchProgram(options: ProgramOptions): Promise<LaunchedProgram> {
  const port = options.port ?? (await freePort());
  const adminListen = `127.0.0.1:${options.adminPort ?? (await freePort())}`;
  const token = "test-token";
  const outputPath = join(options.directory, "output.txt");
  const output = openSync(outputPath, "a");
  const [executable = "", ...args] = options.command;
  const child = spawn(executable, [...args, "run"], {
    cwd: options.directory,
    stdio: ["ignore", output, output],
    env: {
      HOME: options.directory,
      TS2OTEL_STREAMING__ENABLED: "true",
      TS2OTEL_STREAMING__TOKEN: token,
      TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
      TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
      TS2OTEL_OTLP__ENDPOINT: options.endpoint,
      TS2OTEL_OTLP__METRIC_INTERVAL: "1s",
      // A request that a busy machine answers late must not be retried.
      TS2OTEL_OTLP__TIMEOUT: "1m",
      TS2OTEL_STATE__PATH: join(options.directory, "state"),
      TS2OTEL_ADMIN__LISTEN: adminListen,
      TS2OTEL_STREAMING__LISTEN: `127.0.0.1:${port}`,
      TS2OTEL_OTLP__PROTOCOL: `http/${options.encoding}`,
      ...options.settings,
    },
  });
  closeSync(output);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("exit", resolve);
    child.once("error", reject);
  });
  const read = () => readFileSync(outputPath, "utf8");
  const base = `${options.isSecure === true ? "https" : "http"}://127.0.0.1:${port}/services/collector`;
  return {
    async healthy() {
      await until(async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the program ended: ${read()}`);
        return (await statusAt(`${base}/health`)) === 200;
      });
    },
    url: `${base}/event`,
    admin: `http://${adminListen}`,
    pid: child.pid ?? 0,
    ended,
    token,
    output: read,
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
