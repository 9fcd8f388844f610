/** Tests webhooks with the program that users download: each is counted once despite repetitions and kills. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { totalsOf } from "../support/exported-totals.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs } from "../support/wait.ts";
import { signedAt, webhookEvent, webhookSecret } from "../support/webhook-server.ts";

let directory: string;
let sink: OtlpSink;
let program: RunningProgram;
let port: number;

async function start(): Promise<void> {
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: sink.url,
    encoding: "json",
    port,
    settings: {
      TS2OTEL_WEBHOOK__ENABLED: "true",
      TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${port}`,
      TS2OTEL_WEBHOOK__SECRET: webhookSecret,
      TS2OTEL_WEBHOOK__LATE_RETRY_WINDOW: "25h",
      TS2OTEL_WEBHOOK__DEDUP_AUDIT_EVENTS: "true",
    },
  });
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "webhook-e2e-"));
  sink = await startOtlpSink();
  port = await freePort();
  await start();
}, timeoutMs);

afterEach(async () => {
  await program.kill();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
});

const now = (): number => Math.floor(Date.now() / 1000);

async function deliver(body: string, headers = signedAt(now(), body)): Promise<number> {
  const url = `http://127.0.0.1:${port}/tailscale/webhook`;
  return (await fetch(url, { method: "POST", headers, body })).status;
}

const events = () => totalsOf(sink.points, "tailscale.webhook.events", "tailscale.webhook.type");
const duplicates = () => totalsOf(sink.points, "tailscale.webhook.duplicates", "")["undefined"] ?? 0;
/** The committed value, which survives a kill. */
const delivered = () => totalsOf(sink.points, "tailscale2otel.export.log_records", "outcome")["delivered"];
const logs = () => sink.logs.filter(({ eventName }) => eventName?.startsWith("tailscale.webhook."));

test(
  "a delivery that comes a hundred times at once, and again after kill -9, is one log and counts 1",
  async () => {
    const body = JSON.stringify([webhookEvent(1)]);
    const headers = signedAt(now(), body);
    const hundred = (): Promise<number[]> => Promise.all(Array.from({ length: 100 }, () => deliver(body, headers)));
    expect(await hundred()).toEqual(Array(100).fill(200));
    await sink.until(() => delivered() === 1 && duplicates() === 99);
    await program.kill();
    await start();
    expect(await hundred()).toEqual(Array(100).fill(200));
    await sink.until(() => duplicates() === 199);
    expect(events()).toEqual({ nodeCreated: 1 });
    expect(logs()).toHaveLength(1);
    expect(logs()[0]).toMatchObject({ eventName: "tailscale.webhook.nodeCreated", body: "Node node-1 created" });
  },
  timeoutMs,
);

test(
  "a late delivery is taken once, however often the process ends in between",
  async () => {
    const body = readFileSync(new URL("../fixtures/samples/webhook.json", import.meta.url), "utf8").trim();
    const late = signedAt(now() - 24 * 3600, body);
    for (let round = 0; round < 3; round++) {
      expect(await deliver(body, late)).toBe(200);
      await program.kill();
      await start();
    }
    await sink.until(() => duplicates() === 22);
    expect(Object.values(events())).toEqual(Array(11).fill(1));
    expect(await deliver(body, signedAt(now() - 26 * 3600, body))).toBe(401);
    expect(await deliver(body, signedAt(now() + 400, body))).toBe(401);
  },
  timeoutMs,
);

test(
  "an event that the stream has told is dropped, after kill -9 too; one that comes before it stays",
  async () => {
    const at = now();
    const audit = (serial: number, action: string): string =>
      JSON.stringify({
        time: at,
        event: {
          eventGroupID: `group-${serial}`,
          origin: "NODE",
          actor: { id: "u1CNTRL", type: "USER", loginName: "alice@example.com", displayName: "Alice" },
          target: { id: `n${serial}CNTRL`, name: `node-${serial}.tail1234.ts.net`, type: "NODE" },
          action,
        },
      });
    const stream = async (body: string): Promise<number> => {
      const headers = { authorization: `Splunk ${program.token}` };
      return (await fetch(program.url, { method: "POST", headers, body })).status;
    };
    const event = (serial: number): string =>
      JSON.stringify([webhookEvent(serial, { timestamp: new Date(at * 1000 + 500).toISOString() })]);
    expect(await stream(audit(1, "CREATE"))).toBe(200);
    expect(await deliver(event(2))).toBe(200);
    await program.kill();
    await start();
    expect(await deliver(event(1))).toBe(200);
    expect(await stream(audit(2, "CREATE"))).toBe(200);
    await sink.until(() => duplicates() === 1);
    // A log in flight at a kill arrives twice. The last record in the journal is the audit record of the second node.
    const audits = () => sink.logs.map(({ attributes }) => attributes["tailscale.audit.event_group_id"]);
    await sink.until(() => audits().includes("group-1") && audits().includes("group-2") && logs().length > 0);
    expect(events()).toEqual({ nodeCreated: 1 });
    expect([...new Set(logs().map(({ body }) => body))]).toEqual(["Node node-2 created"]);
  },
  timeoutMs,
);
