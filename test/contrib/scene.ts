/**
 * Starts the demo, and an instance with everything that dashboards and alerts cover: refusals, duplicates, invalid and
 * contradicting records, a backend that fails and rejects, failing polls, log streams that Tailscale reports on, TLS.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { curl } from "../support/curl.ts";
import { freePort } from "../support/port.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { sampleBody } from "../support/sample-body.ts";
import { startTailnet } from "../support/tailnet/index.ts";

export interface Scene {
  stop(): Promise<void>;
}

export interface SceneOptions {
  readonly directory: string;
  readonly metricsEndpoint: string;
  /** Endpoint of the demo's logs, to which `/v1/logs` is appended; without it, they go to the failing backend. */
  readonly logsEndpoint: string | undefined;
}

/** The backend of the second instance rejects records that contain this. */
const refused = "nREFUSEDCNTRL";

export async function startScene({ directory, metricsEndpoint, logsEndpoint }: SceneOptions): Promise<Scene> {
  const logs = startFailingBackend();
  const demo = spawn(programBinary(), ["demo", "--endpoint", metricsEndpoint, "--rate", "500"], {
    cwd: directory,
    stdio: "ignore",
    env: {
      HOME: directory,
      TMPDIR: directory,
      TS2OTEL_OTLP__LOGS__ENDPOINT: `${logsEndpoint ?? logs.url.origin}/v1/logs`,
    },
  });
  const demoEnded = new Promise<void>((resolve) => demo.once("exit", () => resolve()));
  const tailnet = await startTailnet();
  const own = join(directory, "troubled");
  mkdirSync(own);
  const [port, webhookPort] = [await freePort(), await freePort()];
  const tls = join(import.meta.dirname, "../support/tls");
  const program = await startProgram({
    command: [programBinary()],
    directory: own,
    endpoint: metricsEndpoint,
    encoding: "protobuf",
    port,
    settings: {
      TS2OTEL_OTLP__LOGS__ENDPOINT: `${logs.url}v1/logs`,
      TS2OTEL_OTLP__COMPRESSION: "none",
      TS2OTEL_TAILSCALE__TAILNET: "example.com",
      TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
      TS2OTEL_TAILSCALE__AUTH__APIKEY: tailnet.apiKey,
      TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "both",
      TS2OTEL_COLLECTORS__FLOWLOGS__INTERVAL: "1s",
      TS2OTEL_STREAMING__PUBLIC_URL: `http://localhost:${port}`,
      TS2OTEL_STREAMING__AUTO_CONFIGURE: "true",
      TS2OTEL_WEBHOOK__ENABLED: "true",
      TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-test",
      TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${webhookPort}`,
      TS2OTEL_WEBHOOK__TLS__CERT_FILE: join(tls, "first.cert.pem"),
      TS2OTEL_WEBHOOK__TLS__KEY_FILE: join(tls, "first.key.pem"),
    },
  });
  const send = (body: string, token = program.token) => curl({ url: program.url, token, body: Buffer.from(body) });
  send(sampleBody, "a-wrong-token");
  send(sampleBody);
  send(sampleBody);
  for (const event of troubledEvents) send(JSON.stringify({ time: Date.now() / 1000, event }));
  const going = setInterval(() => void sendChange(program), 500);
  return {
    async stop() {
      clearInterval(going);
      demo.kill("SIGTERM");
      await Promise.all([program.stop(), demoEnded]);
      await tailnet.stop();
      await logs.stop(true);
    },
  };
}

const window = { start: "2026-11-02T10:00:00Z", end: "2026-11-02T10:00:05Z" };
const entry = (txBytes: number) => ({ proto: 6, src: "100.64.0.1:1", dst: "100.64.0.2:2", txBytes, txPkts: 1 });

/** In order: skipped, undecodable, impossible, contradicting the one before, claiming to be another node, refused by the backend. */
const troubledEvents: readonly object[] = [
  { what: "something else" },
  { nodeId: "n1CNTRL", ...window, start: "never", virtualTraffic: [entry(1)] },
  { nodeId: "n1CNTRL", ...window, virtualTraffic: [entry(-1), entry(1)] },
  { nodeId: "n2CNTRL", ...window, virtualTraffic: [entry(1)] },
  { nodeId: "n2CNTRL", ...window, virtualTraffic: [entry(2)] },
  { nodeId: "n3CNTRL", srcNode: { nodeId: "n4CNTRL" }, ...window, virtualTraffic: [entry(1)] },
  { nodeId: refused, ...window, virtualTraffic: [entry(1)] },
];

/** Sends one more change, because a single measurement has no rate. */
async function sendChange({ url, token }: RunningProgram): Promise<void> {
  const eventTime = new Date().toISOString();
  const actor = { id: "u1CNTRL", type: "USER", loginName: "alice@example.com", displayName: "Alice" };
  const target = { id: "T1CNTRL", name: "example.com", type: "TAILNET", property: "ACL" };
  const event = { eventTime, eventGroupID: eventTime, origin: "ADMIN_CONSOLE", actor, target, action: "UPDATE" };
  const headers = { authorization: `Splunk ${token}` };
  const body = JSON.stringify({ time: Date.now() / 1000, event });
  await fetch(url, { method: "POST", headers, body }).catch(() => undefined);
}

/** A backend that accepts logs, except the first request and those with the refused record. */
function startFailingBackend() {
  let isFirst = true;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const body = await request.bytes();
      if (isFirst) {
        isFirst = false;
        return new Response(null, { status: 503 });
      }
      const isRefused = Buffer.from(body).includes(refused);
      const headers = { "content-type": request.headers.get("content-type") ?? "" };
      return new Response(null, { status: isRefused ? 400 : 200, headers });
    },
  });
}
