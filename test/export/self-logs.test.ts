/** Own log lines at a real OTLP receiver. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createSelfLogs, teeLogger, rewritingLogger } from "../../src/export/self-logs.ts";
import { createSender } from "../../src/export/sender.ts";
import { type Logger, silentLogger } from "../../src/lib/logger.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { destinationAt } from "./delivery.ts";

let sink: OtlpSink;

beforeEach(async () => {
  sink = await startOtlpSink();
});

afterEach(() => sink.stop());

function start(logger: Logger = silentLogger) {
  const send = createSender(destinationAt(sink.url), { fetch, clock: Date.now, onAnswer() {} });
  const resource = { "service.name": "tailscale2otel", "host.name": "host.example.com" };
  return createSelfLogs({ resource, version: "1.2.3", encoding: "protobuf", isSet: true }, { send, logger });
}

test("lines leave with level, fields and resource, and are said at home too", async () => {
  const lines: string[] = [];
  const selfLogs = start();
  const logger = teeLogger({ ...silentLogger, warn: (message) => void lines.push(message) }, selfLogs.sink);
  logger.warn("a certificate expires soon", { listener: "stream", days: 3 });
  logger.error("bad");
  await selfLogs.stop(5_000);
  expect(lines).toEqual(["a certificate expires soon"]);
  expect(sink.logs).toMatchObject([
    {
      severityNumber: 13,
      severityText: "WARN",
      body: "a certificate expires soon",
      attributes: {
        listener: "stream",
        days: 3,
      },
      resource: { "host.name": "host.example.com" },
      scope: {
        name: "tailscale2otel",
        version: "1.2.3",
      },
    },
    { severityNumber: 17, body: "bad" },
  ]);
});

test("lines leave as JSON too, by the SDK's own exporter", async () => {
  const resource = { "service.name": "tailscale2otel" };
  const unused = () => Promise.reject(new Error("not for JSON"));
  const selfLogs = createSelfLogs(
    { resource, version: "1.2.3", encoding: "json", isSet: false, destination: destinationAt(sink.url) },
    { send: unused, logger: silentLogger },
  );
  selfLogs.sink.warn("a certificate expires soon", { days: 3 });
  await selfLogs.stop(5_000);
  expect(sink.logs).toMatchObject([
    { severityText: "WARN", body: "a certificate expires soon", attributes: { days: 3 }, resource },
  ]);
});

test("lines as JSON carry the headers of now", async () => {
  let token = "first";
  const destination = destinationAt(sink.url);
  const selfLogs = createSelfLogs(
    {
      resource: {},
      version: "1.2.3",
      encoding: "json",
      isSet: false,
      destination,
      headers: () => ({ ...destination.headers, authorization: token }),
    },
    { send: () => Promise.reject(new Error("not for JSON")), logger: silentLogger },
  );
  token = "second";
  selfLogs.sink.warn("a certificate expires soon");
  await selfLogs.stop(5_000);
  expect(sink.requests.map(({ headers }) => headers["authorization"])).toEqual(["second"]);
});

test("a backend that hangs does not hold up the stop, and lost lines are told", async () => {
  sink.behave(() => ({ kind: "hang" }));
  const lines: string[] = [];
  const selfLogs = start({ ...silentLogger, debug: (message) => void lines.push(message) });
  selfLogs.sink.info("hello");
  await selfLogs.stop(50);
  expect(lines).toEqual(["own log lines were not delivered"]);
});

test("a line is rewritten in its message and its fields, and numbers stay", () => {
  const lines: unknown[] = [];
  const listener: Logger = { ...silentLogger, warn: (message, fields) => void lines.push([message, fields]) };
  const logger = rewritingLogger(listener, (text) => text.replaceAll("192.0.2.1", "[dropped]"));
  logger.warn("refused 192.0.2.1", { peer: "192.0.2.1", count: 3 });
  logger.warn("plain");
  expect(lines).toEqual([
    ["refused [dropped]", { peer: "[dropped]", count: 3 }],
    ["plain", undefined],
  ]);
});
