/** Reads what the sink has to know out of OTLP requests, in both encodings. */
import { fieldsOf, messagesOf, textOf } from "./protobuf.ts";

export type Attributes = Readonly<Record<string, string>>;

/** One point of a sum or a gauge. */
export interface Point {
  readonly metric: string;
  readonly attributes: Attributes;
  readonly value: number;
}

/** Calls back for every log record: with the integer attribute of that name, or `undefined` where it has none. */
export function eachLogRecord(
  body: Uint8Array,
  isJson: boolean,
  attribute: string,
  visit: (value: number | undefined) => void,
): void {
  if (isJson) eachJsonLogRecord(body, attribute, visit);
  else eachProtobufLogRecord(body, attribute, visit);
}

/** All points of sums and gauges. */
export function pointsOf(body: Uint8Array, isJson: boolean): readonly Point[] {
  return isJson ? jsonPoints(body) : protobufPoints(body);
}

interface JsonAttribute {
  readonly key: string;
  readonly value: {
    readonly stringValue?: string;
    readonly intValue?: string | number;
    readonly boolValue?: boolean;
  };
}

interface JsonLogs {
  readonly resourceLogs?: readonly {
    readonly scopeLogs?: readonly {
      readonly logRecords?: readonly {
        readonly attributes?: readonly JsonAttribute[];
      }[];
    }[];
  }[];
}

interface JsonPoint {
  readonly attributes?: readonly JsonAttribute[];
  readonly asInt?: string | number;
  readonly asDouble?: number;
}

interface JsonMetrics {
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics?: readonly {
      readonly metrics?: readonly {
        readonly name: string;
        readonly sum?: { readonly dataPoints?: readonly JsonPoint[] };
        readonly gauge?: { readonly dataPoints?: readonly JsonPoint[] };
      }[];
    }[];
  }[];
}

const decoder = new TextDecoder();

function eachJsonLogRecord(body: Uint8Array, attribute: string, visit: (value: number | undefined) => void): void {
  const request = JSON.parse(decoder.decode(body)) as JsonLogs;
  for (const { scopeLogs = [] } of request.resourceLogs ?? []) {
    for (const { logRecords = [] } of scopeLogs) {
      for (const { attributes = [] } of logRecords) {
        const found = attributes.find(({ key }) => key === attribute)?.value.intValue;
        visit(found === undefined ? undefined : Number(found));
      }
    }
  }
}

/** Field numbers: opentelemetry/proto/logs/v1/logs.proto and common/v1/common.proto. */
function eachProtobufLogRecord(body: Uint8Array, attribute: string, visit: (value: number | undefined) => void): void {
  for (const resourceLogs of messagesOf(body, 1)) {
    for (const scopeLogs of messagesOf(resourceLogs, 2)) {
      for (const logRecord of messagesOf(scopeLogs, 2)) {
        let found: number | undefined;
        for (const keyValue of messagesOf(logRecord, 6)) {
          if (found === undefined && textOf(keyValue, 1) === attribute) found = integerOf(keyValue);
        }
        visit(found);
      }
    }
  }
}

function integerOf(keyValue: Uint8Array): number | undefined {
  for (const value of messagesOf(keyValue, 2)) {
    for (const field of fieldsOf(value)) {
      if (field.number === 3 && field.kind === "varint") return Number(BigInt.asIntN(64, field.value));
    }
  }
  return undefined;
}

function jsonPoints(body: Uint8Array): readonly Point[] {
  const request = JSON.parse(decoder.decode(body)) as JsonMetrics;
  const points: Point[] = [];
  for (const { scopeMetrics = [] } of request.resourceMetrics ?? []) {
    for (const { metrics = [] } of scopeMetrics) {
      for (const { name, sum, gauge } of metrics) {
        for (const point of sum?.dataPoints ?? gauge?.dataPoints ?? []) {
          const attributes = Object.fromEntries(
            (point.attributes ?? []).map(({ key, value }) => [key, textOfValue(value)]),
          );
          points.push({
            metric: name,
            attributes,
            value: Number(point.asInt ?? point.asDouble ?? 0),
          });
        }
      }
    }
  }
  return points;
}

function textOfValue({ stringValue, intValue, boolValue }: JsonAttribute["value"]): string {
  return String(stringValue ?? intValue ?? boolValue ?? "");
}

/** Field numbers: opentelemetry/proto/metrics/v1/metrics.proto. */
function protobufPoints(body: Uint8Array): readonly Point[] {
  const points: Point[] = [];
  for (const resourceMetrics of messagesOf(body, 1)) {
    for (const scopeMetrics of messagesOf(resourceMetrics, 2)) {
      for (const metric of messagesOf(scopeMetrics, 2)) {
        for (const data of [...messagesOf(metric, 5), ...messagesOf(metric, 7)]) {
          for (const point of messagesOf(data, 1)) points.push(protobufPoint(textOf(metric, 1), point));
        }
      }
    }
  }
  return points;
}

function protobufPoint(metric: string, point: Uint8Array): Point {
  const attributes: Record<string, string> = {};
  let value = 0;
  for (const field of fieldsOf(point)) {
    if (field.number === 7 && field.kind === "bytes") attributes[textOf(field.bytes, 1)] = valueText(field.bytes);
    if (field.number === 4 && field.kind === "fixed64") value = field.view.getFloat64(0, true);
    if (field.number === 6 && field.kind === "fixed64") value = Number(field.view.getBigInt64(0, true));
  }
  return { metric, attributes, value };
}

function valueText(keyValue: Uint8Array): string {
  for (const value of messagesOf(keyValue, 2)) {
    for (const field of fieldsOf(value)) {
      if (field.kind === "bytes") return decoder.decode(field.bytes);
      if (field.kind === "varint") return String(BigInt.asIntN(64, field.value));
    }
  }
  return "";
}
