/** Tests requests of log records at a real OTLP receiver, in both encodings: their content and size. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Encoding } from "../../src/export/answer.ts";
import { createChannel, type DeliveryRow, type Span } from "../../src/export/requests.ts";
import { scopeOf } from "../../src/export/destination.ts";
import { RowSource } from "../../src/export/rows.ts";
import type { Row } from "../../src/journal/index.ts";
import { auditValue } from "../support/records.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { contextWith, flowOf, readerOf, rowOf } from "./journal-rows.ts";
import { destinationAt, senderTo } from "./settings.ts";

let sink: OtlpSink;
const never = new AbortController().signal;

beforeEach(async () => {
  sink = await startOtlpSink();
});

afterEach(() => sink.stop());

interface Settings {
  readonly maxRecords?: number;
  readonly maxBytes?: number;
  readonly encoding?: Encoding;
}

function channelFor(rows: readonly Row[], { maxRecords = 5_000, maxBytes = 4 << 20, encoding = "protobuf" }: Settings) {
  const context = contextWith();
  const source = new RowSource(readerOf(rows), context);
  const channel = createChannel(
    { max_records: maxRecords, max_bytes: maxBytes },
    {
      send: senderTo(destinationAt(sink.url)).send,
      encoding,
      describer: context.describer,
      resource: { "service.name": "tailscale2otel" },
      scope: scopeOf("1.2.3"),
    },
  );
  const row = (seq: number) => source.next(seq) as DeliveryRow;
  const whole = (seq: number): Span => ({ row: row(seq), from: 0, to: row(seq).logRecords });
  return { channel, row, whole };
}

const ports = () => sink.logs.map(({ attributes }) => attributes["destination.port"]);

describe.each(["protobuf", "json"] as const)("as %s", (encoding) => {
  test("spans of several rows become one request, with resource and scope", async () => {
    const rows = [
      rowOf(1, [flowOf(2, 1), flowOf(3, 3)]),
      rowOf(2, [auditValue()], { type: "audit" }),
      rowOf(3, [flowOf(2, 6)]),
    ];
    const { channel, whole } = channelFor(rows, { encoding });
    expect(await channel.post([whole(1), whole(2), whole(3)], never)).toEqual({ kind: "accepted" });
    expect(sink.requests).toHaveLength(1);
    expect(sink.requests[0]?.encoding).toBe(encoding);
    expect(ports()).toEqual([1, 2, 3, 4, 5, undefined, 6, 7]);
    expect(sink.logs[5]?.eventName).toBe("tailscale.config.audit");
    expect(sink.logs[0]).toMatchObject({
      eventName: "tailscale.network.flow",
      severityText: "INFO",
      resource: { "service.name": "tailscale2otel" },
      scope: { name: "tailscale2otel", version: "1.2.3" },
    });
  });

  test("a span begins and ends anywhere, even inside a record", async () => {
    const { channel, row } = channelFor([rowOf(1, [flowOf(3, 1), flowOf(0), flowOf(3, 4), flowOf(3, 7)])], {
      encoding,
    });
    await channel.post([{ row: row(1), from: 2, to: 7 }], never);
    expect(ports()).toEqual([3, 4, 5, 6, 7]);
    await channel.post([{ row: row(1), from: 8, to: 9 }], never);
    expect(ports().slice(5)).toEqual([9]);
  });

  test("an empty export has no log records", async () => {
    const { channel } = channelFor([], { encoding });
    expect(await channel.post([], never)).toEqual({ kind: "accepted" });
    expect(sink.requests[0]?.logs).toEqual([]);
  });
});

test("both encodings have the same content", async () => {
  const rows = [rowOf(1, [flowOf(4)]), rowOf(2, [auditValue()], { type: "audit" })];
  for (const encoding of ["protobuf", "json"] as const) {
    const { channel, whole } = channelFor(rows, { encoding });
    await channel.post([whole(1), whole(2)], never);
  }
  const [protobuf, json] = sink.requests.map(({ logs }) =>
    logs.map(({ eventName, timeUnixNano, observedTimeUnixNano, severityNumber, body, attributes }) => ({
      eventName,
      timeUnixNano,
      observedTimeUnixNano,
      severityNumber,
      body,
      attributes,
    })),
  );
  expect(protobuf).toHaveLength(5);
  expect(protobuf).toEqual(json as NonNullable<typeof json>);
});

describe("the size of a request", () => {
  test("adapts to the log records: after a request that was too large, the next one fits", async () => {
    const { channel, row } = channelFor([rowOf(1, [flowOf(400)])], { maxBytes: 65_536 });
    const tooMany: Span = { row: row(1), from: 0, to: 400 };
    expect(await channel.post([tooMany], never)).toMatchObject({ kind: "unsent" });
    expect(sink.requests).toHaveLength(0);
    const fitting = channel.maxLogRecords;
    expect(fitting).toBeLessThan(400);
    expect(fitting).toBeGreaterThan(50);
    expect(await channel.post([{ ...tooMany, to: fitting }], never)).toEqual({ kind: "accepted" });
    expect(sink.requests[0]?.bytes).toBeLessThanOrEqual(65_536);
    expect(sink.requests[0]?.bytes).toBeGreaterThan(65_536 / 2);
  });

  test("never exceeds max_records, but a single log record is sent whatever its size", async () => {
    const { channel, row } = channelFor([rowOf(1, [flowOf(2)])], { maxRecords: 3, maxBytes: 16 });
    expect(channel.maxLogRecords).toBe(1);
    expect(await channel.post([{ row: row(1), from: 0, to: 2 }], never)).toMatchObject({ kind: "unsent" });
    expect(await channel.post([{ row: row(1), from: 1, to: 2 }], never)).toEqual({ kind: "accepted" });
    expect(channelFor([], { maxRecords: 3 }).channel.maxLogRecords).toBe(3);
  });
});

test("a row that can no longer be read is not sent, and does not throw", async () => {
  const rows = [rowOf(1, [flowOf(1)])];
  const context = contextWith();
  const source = new RowSource(readerOf(rows), context);
  const row = source.next(1) as DeliveryRow;
  const { channel } = channelFor(rows, {});
  rows.length = 0;
  source.forget();
  expect(await channel.post([{ row, from: 0, to: 1 }], never)).toMatchObject({
    kind: "unsent",
    message: expect.stringContaining("row 1"),
  });
});

test("the backend's answers are returned unchanged", async () => {
  const { channel, whole } = channelFor([rowOf(1, [flowOf(1)])], {});
  sink.behave(() => ({ kind: "status", status: 400, body: "no" }));
  expect(await channel.post([whole(1)], never)).toEqual({ kind: "refused", status: 400, message: "HTTP 400: no" });
  sink.behave(() => ({ kind: "take", rejected: 1, message: "old" }));
  expect(await channel.post([whole(1)], never)).toEqual({ kind: "accepted", partial: { rejected: 1, message: "old" } });
});
