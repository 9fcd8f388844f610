/** From log events to an OTLP logs request. The rest of delivery knows only `LogEncoder`. */
import type { InstrumentationScope } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { LogEvent } from "../catalogue/log-event.ts";
import type { Encoding } from "./answer.ts";
import { createJsonLogWriter } from "./encode/json-logs.ts";
import { requestFrameOf } from "./encode/log-writer.ts";
import { protobufFrameOf } from "./encode/protobuf-frame.ts";
import { createProtobufLogWriter } from "./encode/protobuf-logs.ts";

/**
 * Encodes events as one ExportLogsServiceRequest. The bytes are good until the next call.
 * @throws {Error} when an event cannot be written.
 */
export type LogEncoder = (events: readonly LogEvent[], encoding: Encoding) => Uint8Array;

/** Writes the same messages as the SDK's serializers, faster; resource and scope are theirs. */
export function createLogEncoder(resource: Resource, scope: InstrumentationScope): LogEncoder {
  const writers = {
    json: createJsonLogWriter(requestFrameOf(resource, scope)),
    protobuf: createProtobufLogWriter(protobufFrameOf(resource, scope)),
  };
  return (events, encoding) => writers[encoding].write(events);
}
