/** The program under test: started as a user starts it, in a process of its own, with a state directory of its own. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

export interface Program {
  readonly pid: number;
  /** The address of its stream receiver. */
  readonly url: string;
  readonly token: string;
  /** From the start of the process to the first request that was answered 200, in milliseconds. */
  readonly startToAcceptedMs: number;
  /** The end of what it has written so far. */
  readonly lastLines: () => readonly string[];
  readonly isRunning: () => boolean;
  /** Asks it to end, waits, and gives its exit code; kills it when it does not end in time. */
  stop(timeoutMs: number): Promise<number | undefined>;
}

export interface ProgramOptions {
  readonly path: string;
  /** An empty directory for its state and its output. */
  readonly directory: string;
  readonly endpoint: string;
  readonly protocol: "json" | "protobuf";
  /** The body of the first request. */
  readonly firstBody: string;
}

const startTimeoutMs = 15_000;

/** Resolves once the first request has been accepted. @throws {Error} when that does not happen in time. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const port = await freePort();
  const token = crypto.randomUUID();
  const outputPath = join(options.directory, "output.txt");
  const output = openSync(outputPath, "w");
  const isScript = /\.(ts|js|mjs)$/.test(options.path);
  const [command, args] = isScript ? [process.execPath, [options.path, "run"]] : [options.path, ["run"]];
  const began = performance.now();
  const child = spawn(command, args, {
    cwd: options.directory,
    stdio: ["ignore", output, output],
    env: {
      PATH: process.env.PATH ?? "",
      HOME: options.directory,
      TS2OTEL_STREAMING__ENABLED: "true",
      TS2OTEL_STREAMING__LISTEN: `127.0.0.1:${port}`,
      TS2OTEL_STREAMING__TOKEN: token,
      TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
      TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
      TS2OTEL_OTLP__ENDPOINT: options.endpoint,
      TS2OTEL_OTLP__PROTOCOL: options.protocol === "json" ? "http/json" : "http/protobuf",
      TS2OTEL_OTLP__METRIC_INTERVAL: "10s",
      TS2OTEL_STATE__PATH: join(options.directory, "state"),
      TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0",
    },
  });
  closeSync(output);
  const exited = new Promise<number | undefined>((resolve) => {
    child.once("exit", (code) => resolve(code ?? undefined));
    child.once("error", () => resolve(undefined));
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined;

  async function stop(timeoutMs: number): Promise<number | undefined> {
    if (!isRunning()) return exited;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const code = await exited;
    clearTimeout(timer);
    return code;
  }

  const url = `http://127.0.0.1:${port}/services/collector/event`;
  const deadline = began + startTimeoutMs;
  const answer = await firstAnswer({ url, token, body: options.firstBody, isRunning, deadline });
  const startToAcceptedMs = performance.now() - began;
  if (answer !== 200 || child.pid === undefined) {
    await stop(1000);
    const mishap = answer === undefined ? "did not answer" : `answered ${answer}`;
    throw new Error([`${options.path} ${mishap}`, ...lastLinesOf(outputPath)].join("\n"));
  }
  return {
    pid: child.pid,
    url,
    token,
    startToAcceptedMs,
    lastLines: () => lastLinesOf(outputPath),
    isRunning,
    stop,
  };
}

interface FirstRequest {
  readonly url: string;
  readonly token: string;
  readonly body: string;
  readonly isRunning: () => boolean;
  readonly deadline: number;
}

/** The status of the first answer that is not "come again". */
async function firstAnswer({ url, token, body, isRunning, deadline }: FirstRequest): Promise<number | undefined> {
  while (isRunning() && performance.now() < deadline) {
    try {
      const headers = { authorization: `Splunk ${token}` };
      const response = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(startTimeoutMs) });
      await response.arrayBuffer();
      if (response.status !== 503) return response.status;
    } catch {
      // Nobody listens yet.
    }
    await wait(2);
  }
  return undefined;
}

function lastLinesOf(path: string): readonly string[] {
  const lines = readFileSync(path, "utf8").trim().split("\n").slice(-10);
  return lines.map((line) => `the program said: ${line}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
