/** Tests names from the API in exported data: renamed, deleted and re-created nodes, and a start while the API is down. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatRfc3339 } from "../../src/lib/rfc3339.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { connection, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { startTailnet, type Tailnet, type TailnetDevice } from "../support/tailnet/index.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let tailnet: Tailnet;
let program: RunningProgram | undefined;

/** Runs from source, because the test is about names, not the binary. */
async function start(): Promise<RunningProgram> {
  program = await startProgram({
    command: [process.execPath, join(import.meta.dirname, "../../src/main.ts")],
    directory,
    endpoint: sink.url,
    encoding: "json",
    settings: {
      TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
      TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: tailnet.oauth.clientId,
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: tailnet.oauth.clientSecret,
      TS2OTEL_COLLECTORS__DEVICES__INTERVAL: "1s",
    },
  });
  return program;
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "directory-e2e-"));
  sink = await startOtlpSink();
  tailnet = await startTailnet();
});

afterEach(async () => {
  await program?.kill();
  program = undefined;
  await sink.stop();
  await tailnet.stop();
  rmSync(directory, { recursive: true, force: true });
});

const web: TailnetDevice = {
  nodeId: "nWEB1CNTRL",
  name: "web-1.tail1234.ts.net",
  addresses: ["100.64.1.1", "fd7a:115c:a1e0::1"],
};
const database: TailnetDevice = { nodeId: "nDB1CNTRL", name: "db-1.tail1234.ts.net", addresses: ["100.64.1.2"] };

/** Resolves after two more requests for the device list, by which time the first response has been processed. */
async function refreshed(): Promise<void> {
  const asked = (): number => tailnet.requests.filter(({ path }) => path.endsWith("/devices")).length;
  const before = asked();
  await until(() => asked() >= before + 2);
}

/** The names of both ends in the log of a connection from 100.64.1.1 to 100.64.1.2. */
async function namesOfFlow(index: number): Promise<readonly unknown[]> {
  const now = Math.floor(Date.now() / 1000);
  const event = flowValue({
    nodeId: `n${index}CNTRL`,
    start: formatRfc3339([now - 7, 0]),
    end: formatRfc3339([now - 2, 0]),
    virtualTraffic: [connection({ src: "100.64.1.1:40000", dst: "100.64.1.2:5432" })],
  });
  const { url, token } = program as RunningProgram;
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Splunk ${token}` },
    body: JSON.stringify({ time: now, event }),
  });
  expect(response.status).toBe(200);
  const logOf = () => sink.logs.find(({ attributes }) => attributes["tailscale.node.id"] === `n${index}CNTRL`);
  await sink.until(() => logOf() !== undefined);
  const { attributes } = logOf() as NonNullable<ReturnType<typeof logOf>>;
  return [attributes["tailscale.src.node"], attributes["tailscale.dst.node"]];
}

/** True if the latest export has that value. */
const success = (value: number) => () =>
  sink.points.findLast(
    ({ metric, attributes }) =>
      metric === "tailscale2otel.scrape.success" && attributes["tailscale.collector"] === "devices",
  )?.value === value;

test(
  "the current devices decide on names, in logs and in metrics",
  async () => {
    tailnet.devices = [web, database];
    await start();
    await refreshed();
    expect(await namesOfFlow(1)).toEqual(["web-1", "db-1"]);
    tailnet.devices = [{ ...web, name: "web-2.tail1234.ts.net" }, database];
    await refreshed();
    expect(await namesOfFlow(2)).toEqual(["web-2", "db-1"]);
    tailnet.devices = [database];
    await refreshed();
    expect(await namesOfFlow(3)).toEqual(["unknown", "db-1"]);
    tailnet.devices = [{ ...database, nodeId: "nNEW1CNTRL", name: "new.tail1234.ts.net" }];
    await refreshed();
    expect(await namesOfFlow(4)).toEqual(["unknown", "new"]);
    await sink.until(() =>
      sink.points.some(
        ({ metric, attributes }) =>
          metric === "tailscale.network.io.rollup" && attributes["tailscale.dst.node"] === "new",
      ),
    );
    await sink.until(success(1));
    expect((program as RunningProgram).output()).not.toContain("devices");
  },
  timeoutMs,
);

test(
  "a start while the API is down uses the last names, logs it, and recovers by itself",
  async () => {
    tailnet.devices = [web, database];
    await start();
    await refreshed();
    await program?.kill();
    tailnet.fail({ path: /devices$/, times: 1000, effect: { kind: "status", status: 500 } });
    await start();
    expect(await namesOfFlow(1)).toEqual(["web-1", "db-1"]);
    await sink.until(success(0));
    tailnet.recover();
    await sink.until(success(1));
    const output = (): string => (program as RunningProgram).output();
    for (const line of [
      "cannot read the tailnet's devices (names come from the last copy, or from the records); retrying",
      "retry succeeded: read the tailnet's devices",
    ])
      await until(() => output().includes(line));
    expect(output()).not.toContain(tailnet.oauth.clientSecret);
  },
  timeoutMs,
);
