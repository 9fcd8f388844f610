/** The program under test: started as a user starts it, in a process of its own, with a state directory of its own. */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { endWithUs } from "./child.ts";

export type Protocol = "http/protobuf" | "http/json";

/** Where a program runs; two lives of one program share it. */
export interface Place {
  readonly directory: string;
  readonly streamPort: number;
  readonly adminPort: number;
}

/** `path` is a binary or a script for this runtime; `firstBody` that of the first request, which asks for health without one. */
export interface ProgramOptions {
  readonly path: string;
  readonly place: Place;
  readonly endpoint: string;
  readonly protocol: Protocol;
  readonly settings: Readonly<Record<string, string>>;
  readonly firstBody: string | undefined;
}

/** In records, since the journal was made; as `/api/status` tells. */
export interface Conservation {
  readonly accepted: number;
  readonly duplicate: number;
  readonly pending: number;
}

export interface Program {
  readonly pid: number;
  /** The address of its stream receiver, and what it wants as a token. */
  readonly url: string;
  readonly token: string;
  /** From the start of the process to the first request that was answered 200, in milliseconds. */
  readonly startToAcceptedMs: number;
  conservation(): Promise<Conservation>;
  /** The end of what it has written so far. */
  lastLines(): readonly string[];
  /** Asks it to end, waits, and gives its exit code; kills it when it does not end in time. */
  stop(timeoutMs: number): Promise<number | undefined>;
  /** Ends it at once, as a power failure would. */
  kill(): Promise<void>;
}

const startTimeoutMs = 30_000;
const token = "bench-token";

/** Makes a place with two ports that nobody uses at this moment, and removes it when the work is over. */
export async function inPlace<Result>(work: (place: Place) => Promise<Result>): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), "tailscale2otel-bench-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    return await work({ directory, streamPort: await freePort(), adminPort: await freePort() });
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** Resolves once the first request has been accepted. @throws {Error} when that does not happen in time. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { path, place, firstBody } = options;
  const outputPath = join(place.directory, "output.txt");
  const output = openSync(outputPath, "a");
  const isScript = /\.(ts|js|mjs)$/.test(path);
  const [command, args] = isScript ? [process.execPath, [path, "run"]] : [path, ["run"]];
  const began = performance.now();
  const child = spawn(command, args, {
    cwd: place.directory,
    stdio: ["ignore", output, output],
    env: environmentOf(options),
  });
  closeSync(output);
  endWithUs(child);
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

  const url = `http://127.0.0.1:${place.streamPort}/services/collector/event`;
  const answer = await firstAnswer(url, firstBody, () => isRunning() && performance.now() < began + startTimeoutMs);
  const startToAcceptedMs = performance.now() - began;
  if (answer !== 200 || child.pid === undefined) {
    await stop(1000);
    const mishap = answer === undefined ? "did not answer" : `answered ${answer}`;
    throw new Error([`${path} ${mishap}`, ...lastLinesOf(outputPath)].join("\n"));
  }
  return {
    pid: child.pid,
    url,
    token,
    startToAcceptedMs,
    async conservation() {
      const response = await fetch(`http://127.0.0.1:${place.adminPort}/api/status`);
      return ((await response.json()) as { conservation: Conservation }).conservation;
    },
    lastLines: () => lastLinesOf(outputPath),
    stop,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** The defaults, but for addresses and the token, and a metric interval in which a load of seconds has folds. */
function environmentOf({ place, endpoint, protocol, settings }: ProgramOptions): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: place.directory,
    TS2OTEL_STREAMING__ENABLED: "true",
    TS2OTEL_STREAMING__LISTEN: `127.0.0.1:${place.streamPort}`,
    TS2OTEL_STREAMING__TOKEN: token,
    TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
    TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
    TS2OTEL_OTLP__ENDPOINT: endpoint,
    TS2OTEL_OTLP__PROTOCOL: protocol,
    TS2OTEL_OTLP__METRIC_INTERVAL: "10s",
    TS2OTEL_STATE__PATH: join(place.directory, "state"),
    TS2OTEL_ADMIN__LISTEN: `127.0.0.1:${place.adminPort}`,
    ...settings,
  };
}

/** The status of the first answer that is not "come again". */
async function firstAnswer(url: string, body: string | undefined, mayGoOn: () => boolean): Promise<number | undefined> {
  const headers = { authorization: `Splunk ${token}` };
  const address = body === undefined ? url.replace(/event$/, "health") : url;
  const request = { headers, ...(body === undefined ? {} : { method: "POST", body }) };
  while (mayGoOn()) {
    try {
      const response = await fetch(address, { ...request, signal: AbortSignal.timeout(startTimeoutMs) });
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

/** A port of the loopback address that nobody uses at this moment, and where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
