/**
 * Tests the compiled program with three destinations, under load and with kills: one accepts everything, one is down at first,
 * one gets audit records only.
 * Each must receive exactly its own records, and its sums in `status` must add up.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningStatus } from "../../src/admin/status.ts";
import { askAdmin } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { auditValue, enveloped } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";
import { Account } from "./account.ts";
import { type Batch, type SentRecord, streamTraffic } from "./traffic.ts";

const token = "test-token";
const names = ["primary", "lake", "audits"] as const;
type Name = (typeof names)[number];

let directory: string;
let sinks: Record<Name, OtlpSink>;
let accounts: Record<Name, Account>;
let program: RunningProgram | undefined;
let isLakeDown: boolean;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "destinations-test-"));
  isLakeDown = true;
  const started = await Promise.all(names.map(async (name) => [name, await startOtlpSink({ forgets: true })] as const));
  sinks = Object.fromEntries(started) as Record<Name, OtlpSink>;
  accounts = { primary: new Account(), lake: new Account(), audits: new Account() };
  for (const name of names)
    sinks[name].behave(({ logs }) => {
      const isTaken = name !== "lake" || !isLakeDown;
      for (const log of logs) accounts[name].arrived(log, isTaken);
      return isTaken ? { kind: "take" } : { kind: "status", status: 503 };
    });
});

afterEach(async () => {
  await program?.kill();
  await Promise.all(names.map((name) => sinks[name].stop()));
  rmSync(directory, { recursive: true });
});

async function start(port: number, more: Readonly<Record<string, string>> = {}): Promise<RunningProgram> {
  return (program = await startProgram({
    command: [programBinary()],
    directory,
    port,
    endpoint: sinks.primary.url,
    encoding: "protobuf",
    settings: {
      TS2OTEL_OTLP__ALSO__0__NAME: "lake",
      TS2OTEL_OTLP__ALSO__0__ENDPOINT: sinks.lake.url,
      TS2OTEL_OTLP__ALSO__0__PROTOCOL: "http/json",
      TS2OTEL_OTLP__ALSO__1__NAME: "audits",
      TS2OTEL_OTLP__ALSO__1__LOGS__ENDPOINT: `${sinks.audits.url}/v1/logs`,
      TS2OTEL_OTLP__ALSO__1__TYPES: "audit",
      TS2OTEL_OTLP__ALSO__1__METRICS__ENABLED: "false",
      TS2OTEL_STATE__RETENTION: "0",
      ...more,
    },
  }));
}

/** The part of a batch that is for a destination. */
function partFor(name: Name, batch: Batch): Batch {
  const only = (records: readonly SentRecord[]) =>
    name === "audits" ? records.filter(({ adds }) => adds.audits > 0) : records;
  return { ...batch, records: only(batch.records), own: only(batch.own), alone: only(batch.alone) };
}

async function send(url: string, batch: Batch): Promise<void> {
  for (const name of names) accounts[name].sending(partFor(name, batch));
  await until(async () => {
    try {
      const answer = await fetch(url, { method: "POST", headers: batch.headers, body: batch.body });
      return answer.status === 200;
    } catch {
      return false;
    }
  });
  for (const name of names) accounts[name].answered(partFor(name, batch), Date.now());
}

const statusOf = ({ admin }: RunningProgram) => askAdmin<RunningStatus>(admin, "status");

/** The sums of an additional destination. */
async function sumsOf(running: RunningProgram, name: string) {
  const found = (await statusOf(running)).destinations?.find((one) => one.name === name);
  if (found?.records === undefined) throw new Error(`no destination ${name}`);
  const { accepted, delivered, pending, deadLettered, evicted } = found.records;
  expect(accepted).toBe(delivered + pending + deadLettered + evicted);
  return { accepted, delivered, pending, evicted, why: found.export?.logs.why };
}

test(
  "each destination receives exactly its records, whatever happens to the others and to the program",
  async () => {
    const port = await freePort();
    const traffic = streamTraffic(20_261_127, token, { hasPoison: false });
    for (let life = 0; life < 4; life++) {
      const running = await start(port);
      for (let batch = 0; batch < 12; batch++) await send(running.url, traffic.next());
      if (life % 2 === 1)
        await until(() => accounts.primary.outstanding().length + accounts.audits.outstanding().length === 0);
      await running.kill();
    }
    const running = await start(port);
    await send(running.url, traffic.next());
    await until(async () => (await statusOf(running)).conservation.pending === 0);
    await until(async () => (await sumsOf(running, "audits")).pending === 0);
    const down = await sumsOf(running, "lake");
    expect(down).toMatchObject({ delivered: 0, pending: down.accepted, why: expect.stringContaining("503") });
    expect((await statusOf(running)).degraded.join()).toContain("log export to lake failing since");
    expect(accounts.lake.arrivals).toBe(0);
    expect([...accounts.primary.outstanding(), ...accounts.audits.outstanding()]).toEqual([]);

    isLakeDown = false;
    await until(async () => (await sumsOf(running, "lake")).pending === 0);
    const { conservation, degraded } = await statusOf(running);
    expect(degraded).toEqual([]);
    const [lake, audits] = [await sumsOf(running, "lake"), await sumsOf(running, "audits")];
    expect(await running.stop()).toBe(0);
    for (const name of names) {
      const { records, sums } = accounts[name].accepted();
      expect([name, accounts[name].violations]).toEqual([name, []]);
      if (name === "audits") expect(audits.delivered).toBe(sums.audits);
      else expect([name, records]).toEqual([name, conservation.accepted]);
    }
    expect(lake.delivered).toBe(conservation.accepted);
  },
  timeoutMs * 2,
);

test(
  "a renamed destination is a removed one, logged with what it had not received, and a new one",
  async () => {
    const port = await freePort();
    const traffic = streamTraffic(7, token, { hasPoison: false });
    const first = await start(port);
    await send(first.url, traffic.next());
    await until(async () => (await statusOf(first)).conservation.pending === 0);
    const { pending } = await sumsOf(first, "lake");
    expect(await first.stop()).toBe(0);

    const second = await start(port, { TS2OTEL_OTLP__ALSO__0__NAME: "pond" });
    expect(second.output()).toMatch(
      new RegExp(`a destination is not configured any more: its position was deleted.*lake.*undelivered\\D*${pending}`),
    );
    expect(await sumsOf(second, "pond")).toMatchObject({ accepted: 0, pending: 0 });
    expect((await statusOf(second)).destinations?.map(({ name }) => name)).toEqual(["pond", "audits"]);
    await second.stop();
  },
  timeoutMs,
);

test(
  "a destination that is down and not required loses its oldest records, and no sender has to wait for it",
  async () => {
    const port = await freePort();
    const running = await start(port, {
      TS2OTEL_OTLP__ALSO__0__REQUIRED: "false",
      TS2OTEL_STATE__MAX_BYTES: "32MiB",
      TS2OTEL_OTLP__LOGS__MAX_BYTES: "16MiB",
    });
    const sent = 26;
    for (let number = 0; number < sent; number++) {
      const body = JSON.stringify(
        enveloped(auditValue({ eventGroupID: `group-${number}`, new: randomBytes(750_000).toString("base64") })),
      );
      const headers = { authorization: `Splunk ${token}` };
      await until(async () => (await fetch(running.url, { method: "POST", headers, body })).status === 200);
      await until(async () => (await statusOf(running)).conservation.pending === 0);
    }
    const { evicted, pending } = await sumsOf(running, "lake");
    expect(evicted + pending).toBe(sent);
    expect(evicted).toBeGreaterThan(2);
    expect(running.output()).toContain("the oldest undelivered records of a destination were given up");
    isLakeDown = false;
    await until(async () => (await sumsOf(running, "lake")).pending === 0);
    const after = await sumsOf(running, "lake");
    expect(after.accepted).toBe(sent);
    expect(after.delivered).toBe(sent - after.evicted);
    expect((await statusOf(running)).conservation).toMatchObject({ accepted: sent, delivered: sent });
    expect(await running.stop()).toBe(0);
  },
  timeoutMs,
);
