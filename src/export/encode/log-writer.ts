/** What a writer of log requests is, and the parts of a request that the SDK's own serializer provides. */
import type { InstrumentationScope } from "@opentelemetry/core";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import type { Resource } from "@opentelemetry/resources";
import type { LogEvent } from "../../catalogue/log-event.ts";

export interface LogWriter {
  /** One ExportLogsServiceRequest. The bytes are good until the next call. */
  write(events: readonly LogEvent[]): Uint8Array;
}

/** Resource and scope in OTLP/JSON form. */
export interface RequestFrame {
  readonly resource: unknown;
  readonly scope: unknown;
}

/** Taken from a request that the SDK has written, so that there is one truth about them. */
export function requestFrameOf(resource: Resource, instrumentationScope: InstrumentationScope): RequestFrame {
  const bytes = JsonLogsSerializer.serializeRequest([
    {
      hrTime: [0, 0],
      hrTimeObserved: [0, 0],
      attributes: {},
      droppedAttributesCount: 0,
      resource,
      instrumentationScope,
    },
  ]);
  const request = JSON.parse(new TextDecoder().decode(bytes)) as {
    resourceLogs: [{ resource: unknown; scopeLogs: [{ scope: unknown }] }];
  };
  const [{ resource: encoded, scopeLogs }] = request.resourceLogs;
  return { resource: encoded, scope: scopeLogs[0].scope };
}
