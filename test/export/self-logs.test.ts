/** Tests the program's own log lines at a real OTLP receiver. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type Logger, rewritingLogger, silentLogger, teeLogger } from "../../src/lib/logger.ts";
import type { Encoding } from "../../src/export/answer.ts";
import { scopeOf } from "../../src/export/destination.ts";
import { createSelfLogs } from "../../src/export/self-logs.ts";
import { takeTruncatedTexts } from "../../src/processors/outgoing.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { destinationAt, senderTo } from "./settings.ts";

let sink: OtlpSink;

beforeEach(async () => {
  sink = await startOtlpSink();
});

afterEach(() => sink.stop());

function start(encoding: Encoding, logger: Logger = silentLogger) {
  const destination = destinationAt(sink.url);
  const { send } = senderTo(destination);
  const own = () => (encoding === "json" ? destination : undefined);
  const resource = { "service.name": "tailscale2otel", "host.name": "host.example.com" };
  return createSelfLogs({ resource, scope: scopeOf("1.2.3"), encoding, send, destination: own, logger });
}

test.each(["json", "protobuf"] as const)("lines arrive as %s with level, fields and resource", async (encoding) => {
  const lines: string[] = [];
  const selfLogs = start(encoding);
  const logger = teeLogger({ ...silentLogger, warn: (message) => void lines.push(message) }, selfLogs.sink);
  logger.warn("a certificate expires soon", { listener: "stream", days: 3 });
  logger.error("bad");
  await selfLogs.stop(5_000);
  expect(lines).toEqual(["a certificate expires soon"]);
  expect(sink.requests[0]?.encoding).toBe(encoding);
  expect(sink.logs).toMatchObject([
    {
      severityNumber: 13,
      severityText: "WARN",
      body: "a certificate expires soon",
      attributes: { listener: "stream", days: 3 },
      resource: { "host.name": "host.example.com" },
      scope: { name: "tailscale2otel", version: "1.2.3" },
    },
    { severityNumber: 17, body: "bad" },
  ]);
});

test("long texts are cut to the limit of all exported texts, and counted", async () => {
  takeTruncatedTexts();
  const selfLogs = start("protobuf");
  selfLogs.sink.warn("x".repeat(40_000), { detail: "\u{1f600}".repeat(2_000), days: 3, nothing: undefined });
  await selfLogs.stop(5_000);
  const [line] = sink.logs;
  expect(Buffer.byteLength(String(line?.body))).toBeLessThanOrEqual(32_768);
  expect(Buffer.byteLength(String(line?.attributes["detail"]))).toBeLessThanOrEqual(4_096);
  expect(line?.attributes["detail"]).toEndWith("\u{1f600}…[truncated]");
  expect(line?.attributes["days"]).toBe(3);
  expect(takeTruncatedTexts()).toBe(2);
});

test("a backend that hangs does not delay the stop, and lost lines are reported", async () => {
  sink.behave(() => ({ kind: "hang" }));
  const lines: string[] = [];
  const selfLogs = start("protobuf", { ...silentLogger, debug: (message) => void lines.push(message) });
  selfLogs.sink.info("hello");
  await selfLogs.stop(50);
  expect(lines).toEqual(["own log lines were not delivered"]);
});

test("a line is rewritten in its message and its fields, and numbers are unchanged", () => {
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
