/** Starts the program under test as a user would, in its own process and with its own state directory. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../../test/support/port.ts";
import { launchProgram } from "../../test/support/running-program.ts";
import { endWithUs } from "./child.ts";

export type Protocol = "http/protobuf" | "http/json";

/** Where a program runs; a restarted program uses the same place. */
export interface Place {
  readonly directory: string;
  readonly streamPort: number;
  readonly adminPort: number;
}

/** `path`: a binary, or a script for this runtime. `firstBody`: the body of the first request; without one, that is a health check. */
export interface ProgramOptions {
  readonly path: string;
  readonly place: Place;
  readonly endpoint: string;
  readonly protocol: Protocol;
  readonly settings: Readonly<Record<string, string>>;
  readonly firstBody: string | undefined;
}

/** Records since the journal was created, as in `/api/v1/status`. */
export interface Conservation {
  readonly accepted: number;
  readonly duplicate: number;
  readonly pending: number;
}

export interface Program {
  readonly pid: number;
  /** The address and the token of the stream receiver. */
  readonly url: string;
  readonly token: string;
  /** Milliseconds from the start of the process to the first request answered with 200. */
  readonly startToAcceptedMs: number;
  conservation(): Promise<Conservation>;
  /** The last lines of its output so far. */
  lastLines(): readonly string[];
  /** Asks the program to stop, waits, and returns its exit code; kills it if it does not stop in time. */
  stop(timeoutMs: number): Promise<number | undefined>;
  /** Kills it at once, as a power failure would. */
  kill(): Promise<void>;
}

const startTimeoutMs = 30_000;

/** Creates a directory and two free ports for `work`, and removes the directory afterwards. */
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

/** Resolves once the first request has been accepted. @throws {Error} if that does not happen in time. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { path, place, endpoint, protocol, settings, firstBody } = options;
  const began = performance.now();
  const program = await launchProgram({
    command: /\.(ts|js|mjs)$/.test(path) ? [process.execPath, path] : [path],
    directory: place.directory,
    endpoint,
    encoding: protocol === "http/json" ? "json" : "protobuf",
    port: place.streamPort,
    adminPort: place.adminPort,
    // The defaults, except for a metric interval short enough for a load of seconds to include folds.
    settings: { PATH: process.env["PATH"] ?? "", ...usualSettings, ...settings },
  });
  const { url, admin, pid, token } = program;
  let isRunning = true;
  const ended = program.ended.catch(() => null).finally(() => (isRunning = false));
  endWithUs(ended, () => program.kill());

  async function stop(timeoutMs: number): Promise<number | undefined> {
    const timer = setTimeout(() => void program.kill(), timeoutMs);
    void program.stop().catch(() => undefined);
    const code = await ended;
    clearTimeout(timer);
    return code ?? undefined;
  }

  const lastLines = () =>
    program
      .output()
      .trim()
      .split("\n")
      .slice(-10)
      .map((line) => `output: ${line}`);
  const request: RequestInit = {
    headers: { authorization: `Splunk ${token}` },
    ...(firstBody !== undefined && { method: "POST", body: firstBody }),
  };
  const address = firstBody === undefined ? url.replace(/event$/, "health") : url;
  const status = await firstStatus(address, request, () => isRunning && performance.now() < began + startTimeoutMs);
  const startToAcceptedMs = performance.now() - began;
  if (status !== 200) {
    await stop(1000);
    throw new Error(
      [`${path} ${status === undefined ? "did not answer" : `answered ${status}`}`, ...lastLines()].join("\n"),
    );
  }
  return {
    pid,
    url,
    token,
    startToAcceptedMs,
    async conservation() {
      const response = await fetch(`${admin}/api/v1/status`);
      return ((await response.json()) as { conservation: Conservation }).conservation;
    },
    lastLines,
    stop,
    kill: program.kill,
  };
}

const usualSettings = { TS2OTEL_OTLP__METRIC_INTERVAL: "10s", TS2OTEL_OTLP__TIMEOUT: "10s" };

/** The status of the first response other than 503. */
async function firstStatus(url: string, request: RequestInit, mayGoOn: () => boolean): Promise<number | undefined> {
  while (mayGoOn()) {
    try {
      const response = await fetch(url, { ...request, signal: AbortSignal.timeout(startTimeoutMs) });
      await response.arrayBuffer();
      if (response.status !== 503) return response.status;
    } catch {
      // Nothing is listening yet.
    }
    await wait(2);
  }
  return undefined;
}
