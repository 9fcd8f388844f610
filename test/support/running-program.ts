/** The program in a process of its own, set up by environment variables alone, as the README says. */
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
  /** For its state and its output. Given to a second run, that one goes on where the first ended. */
  readonly directory: string;
  /** The base address of the OTLP receiver. */
  readonly endpoint: string;
  readonly encoding: OtlpEncoding;
  /** The stream receiver's port, if its address must outlive the program. */
  readonly port?: number;
  /** The admin listener's port, if its address must be known before. */
  readonly adminPort?: number;
  /** Whether `settings` make the stream receiver speak TLS. */
  readonly isSecure?: boolean;
  /** Environment variables beside those that every test needs. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningProgram {
  /** The address of the stream receiver. */
  readonly url: string;
  /** The address of the admin listener. */
  readonly admin: string;
  readonly pid: number;
  readonly token: string;
  /** What it has written so far. */
  output(): string;
  /** Asks it to end, and gives its exit code. */
  stop(): Promise<number | null>;
  /** Ends it at once, as a power failure would. */
  kill(): Promise<void>;
}

export interface LaunchedProgram extends RunningProgram {
  /** Its exit code, once it has ended; null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Resolves when it says that it is healthy. @throws {Error} when it ends before. */
  healthy(): Promise<void>;
}

/** Resolves when it says that it is healthy. @throws {Error} when it ends before. */
export async function startProgram(options: ProgramOptions): Promise<RunningProgram> {
  const program = await launchProgram(options);
  await program.healthy();
  return program;
}

/** Resolves as soon as the process is there, so that it can be ended while it starts. */
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
      // A request that a busy machine answers late must not be sent twice.
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
