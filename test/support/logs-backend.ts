/** A real VictoriaLogs on loopback, which accepts OTLP logs and answers LogsQL queries. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { startForeignProgram, statusAt } from "./foreign-program.ts";
import { buildGoProgram } from "./go-build.ts";
import { freePort } from "./port.ts";
import { victoriaLogsProgram } from "./victorialogs-build.ts";

/** The fields of a log record in a query result, including `_msg` and `_time`. */
export type LogFields = Readonly<Record<string, string>>;

export interface LogsBackend {
  /** The base URL for OTLP over HTTP, to which `/v1/logs` is appended. */
  readonly endpoint: string;
  query(expression: string): Promise<readonly LogFields[]>;
  /** Resolves with the first result that meets the condition. The caller's own timeout bounds the wait. */
  until(expression: string, condition: (logs: readonly LogFields[]) => boolean): Promise<readonly LogFields[]>;
  stop(): Promise<void>;
}

/** Its retention is a century, because the samples have fixed timestamps. */
export async function startVictoriaLogs(): Promise<LogsBackend> {
  const binary = buildGoProgram(victoriaLogsProgram);
  const directory = mkdtempSync(join(tmpdir(), "victorialogs-"));
  const base = `http://127.0.0.1:${await freePort()}`;
  const command = [
    binary,
    `-storageDataPath=${join(directory, "data")}`,
    `-httpListenAddr=${new URL(base).host}`,
    "-retentionPeriod=100y",
    "-memory.allowedBytes=134217728",
  ];
  const program = await startForeignProgram(command, directory, async () => (await statusAt(`${base}/health`)) === 200);
  const query = async (expression: string): Promise<readonly LogFields[]> => {
    await fetch(`${base}/internal/force_flush`);
    const response = await fetch(`${base}/select/logsql/query`, {
      method: "POST",
      body: new URLSearchParams({ query: expression }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${expression}: ${text}`);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LogFields);
  };
  return {
    endpoint: `${base}/insert/opentelemetry`,
    query,
    async until(expression, condition) {
      while (true) {
        const logs = await query(expression);
        if (condition(logs)) return logs;
        await wait(100);
      }
    },
    stop: () => program.stop(),
  };
}
