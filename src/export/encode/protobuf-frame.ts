/** Resource and scope as the SDK's protobuf serializer writes them, to be set before our own records. */
import type { InstrumentationScope } from "@opentelemetry/core";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import type { Resource } from "@opentelemetry/resources";

/** Each a whole field: tag, length and content. */
export interface ProtobufFrame {
  /** `ResourceLogs.resource` */
  readonly resource: Uint8Array;
  /** `ScopeLogs.scope` */
  readonly scope: Uint8Array;
}

const resourceLogsField = 1;
const resourceField = 1;
const scopeLogsField = 2;
const scopeField = 1;

/** Cut out of a request with one empty record. */
export function protobufFrameOf(resource: Resource, instrumentationScope: InstrumentationScope): ProtobufFrame {
  const request = ProtobufLogsSerializer.serializeRequest([
    {
      hrTime: [0, 0],
      hrTimeObserved: [0, 0],
      attributes: {},
      droppedAttributesCount: 0,
      resource,
      instrumentationScope,
    },
  ]);
  const resourceLogs = field(request ?? new Uint8Array(), resourceLogsField).content;
  const scopeLogs = field(resourceLogs, scopeLogsField).content;
  return { resource: field(resourceLogs, resourceField).whole, scope: field(scopeLogs, scopeField).whole };
}

/** The first length-delimited field of that number. @throws {Error} when the message has none. */
function field(message: Uint8Array, number: number): { readonly whole: Uint8Array; readonly content: Uint8Array } {
  let at = 0;
  while (at < message.length) {
    const start = at;
    const tag = message[at++] as number;
    let length = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = message[at++] as number;
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    const end = at + length;
    if (tag >>> 3 === number) return { whole: message.slice(start, end), content: message.slice(at, end) };
    at = end;
  }
  throw new Error(`the SDK's request has no field ${number}`);
}
