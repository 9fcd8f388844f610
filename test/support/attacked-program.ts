/** The compiled program with a backend that accepts everything, and a report of the cost of each attack on it. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conservationAt } from "./admin.ts";
import { programBinary } from "./binary.ts";
import { flowEnvelope } from "./hec-server.ts";
import { openDescriptors, peakBytes, resetPeak } from "./peak-memory.ts";
import { type RunningProgram, startProgram } from "./running-program.ts";
import { until } from "./wait.ts";

export interface HecReply {
  readonly status: number;
  readonly body: unknown;
}

export interface AttackedProgram {
  readonly program: RunningProgram;
  readonly port: number;
  post(body: BodyInit, headers?: Readonly<Record<string, string>>): Promise<HecReply>;
  /** A small valid body, different at each call. */
  goodBody(): string;
  /** Runs an attack and records its duration and the program's peak memory in bytes. */
  measure<Result>(
    attack: string,
    act: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly peak: number }>;
  /** Resolves when the backend has received everything accepted so far. */
  delivered(): Promise<void>;
  /** Adds a figure to the report. */
  note(attack: string, figure: string): void;
  readonly descriptors: number;
  /** Prints the report, stops the program and returns its exit code. */
  stop(): Promise<number | null>;
}

export async function startAttackedProgram(
  title: string,
  encoding: "json" | "protobuf" = "json",
): Promise<AttackedProgram> {
  const directory = mkdtempSync(join(tmpdir(), "hostile-"));
  const backend = createServer((request, response) => {
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
  const settings = { TS2OTEL_OTLP__METRIC_INTERVAL: "60s" };
  const program = await startProgram({ command: [programBinary()], directory, endpoint, encoding, settings });
  const figures: string[] = [];
  let serial = 0;
  const note = (attack: string, figure: string): void => void figures.push(`  ${attack.padEnd(52)} ${figure}`);
  return {
    program,
    port: Number(new URL(program.url).port),
    async post(body, headers = {}) {
      const authorization = `Splunk ${program.token}`;
      const answer = await fetch(program.url, { method: "POST", body, headers: { authorization, ...headers } });
      return { status: answer.status, body: await answer.json() };
    },
    goodBody: () => flowEnvelope(serial++),
    async measure(attack, act) {
      resetPeak(program.pid);
      const beganMs = performance.now();
      const result = await act();
      const ms = Math.round(performance.now() - beganMs);
      const peak = peakBytes(program.pid);
      note(attack, `${String(ms).padStart(6)} ms  peak ${Math.round(peak / 1e6)} MB`);
      return { result, peak };
    },
    delivered: () => until(async () => (await conservationAt(program.admin)).pending === 0),
    note,
    get descriptors() {
      return openDescriptors(program.pid);
    },
    async stop() {
      process.stdout.write(`\n${title}\n${figures.join("\n")}\n`);
      const code = await program.stop();
      backend.close();
      backend.closeAllConnections();
      rmSync(directory, { recursive: true, force: true });
      return code;
    },
  };
}
