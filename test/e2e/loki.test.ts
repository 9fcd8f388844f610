/** Tests the compiled program against Loki's rules: only what arrives too late becomes a dead letter, with Loki's reason. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { curl } from "../support/curl.ts";
import { type Loki, startLoki } from "../support/loki.ts";
import { bytesOf, connection, enveloped, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let loki: Loki;
let program: RunningProgram;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "loki-test-"));
  loki = startLoki();
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: loki.endpoint,
    encoding: "protobuf",
    settings: { TS2OTEL_OTLP__METRICS__ENABLED: "false", TS2OTEL_OTLP__COMPRESSION: "zstd" },
  });
}, timeoutMs);

afterEach(async () => {
  await program.kill();
  await loki.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Sends one request with a flow per number, which is its age in minutes. */
function send(...minutesAgo: readonly number[]): void {
  const records = minutesAgo.map((minutes) => {
    const time = Date.now() - minutes * 60_000;
    const [start, end] = [time - 5000, time].map((at) => new Date(at).toISOString());
    const dst = `100.64.1.2:${minutes + 1}`;
    return enveloped(flowValue({ start, end, virtualTraffic: [connection({ dst })] }), time / 1000);
  });
  const body = bytesOf(records.map((record) => JSON.stringify(record)).join(""));
  expect(curl({ url: program.url, token: program.token, body })).toMatchObject({ status: 200 });
}

const minutesAgo = () => loki.query("{}").map(({ labels }) => Number(labels["destination_port"]) - 1);

function deadLetters(): readonly { readonly detail: string }[] {
  const { stdout } = spawnSync(
    programBinary(),
    ["quarantine", "list", "--class", "dead_letter", "--json", "--url", program.admin],
    { encoding: "utf8", env: { HOME: directory } },
  );
  return JSON.parse(stdout) as { detail: string }[];
}

test(
  "records within Loki's window are stored in any order, and only those beyond it are dead letters",
  async () => {
    send(50, 20, 1);
    await until(() => minutesAgo().length === 3);
    send(40, 180, 30, 200, 2);
    await until(() => minutesAgo().length === 6);
    send(0);
    await until(() => deadLetters().length === 2);
    await until(() => minutesAgo().length === 7);
    expect(minutesAgo().toSorted((a, b) => a - b)).toEqual([0, 1, 2, 20, 30, 40, 50]);
    expect(deadLetters().map(({ detail }) => detail)).toEqual([
      expect.stringContaining("entry too far behind") as string,
      expect.stringContaining("entry too far behind") as string,
    ]);
  },
  timeoutMs,
);
