/**
 * The log event of one connection. Nearly all log events are of this kind, and a writer of requests needs neither body nor
 * attributes as objects: it is a class so that they are made when somebody asks. 0.1 µs instead of 1.3.
 */
import type { LogAttributes, LogEvent } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import type { HrTime } from "../lib/clock.ts";
import type { Connection } from "../records/types.ts";
import { classOf } from "./edges.ts";
import { classAttributes } from "./flow-class.ts";
import type { FlowEnds } from "./flow-ends.ts";

/** What the events of one record have in common. */
export interface RecordContext {
  readonly time: HrTime;
  readonly observedTime: HrTime;
  /** Attributes of the record. */
  readonly ofRecord: LogAttributes;
  readonly ends: FlowEnds;
}

export class ConnectionEvent implements LogEvent {
  readonly connection: Connection;
  readonly context: RecordContext;

  constructor(connection: Connection, context: RecordContext) {
    this.connection = connection;
    this.context = context;
  }

  get name(): string {
    return "tailscale.network.flow";
  }

  get severity(): "INFO" {
    return "INFO";
  }

  get time(): HrTime {
    return this.context.time;
  }

  get observedTime(): HrTime {
    return this.context.observedTime;
  }

  get body(): string {
    const { source, destination, txBytes, rxBytes } = this.connection;
    const { transport, traffic, path, derpRegion } = classOf(this.connection);
    const relay = derpRegion === undefined ? "derp" : `derp-${derpRegion}`;
    const to = path === "derp" ? relay : (destination?.text ?? "?");
    return `${transport} ${traffic} ${source?.text ?? "?"} -> ${to} tx=${txBytes}B rx=${rxBytes}B`;
  }

  get shared(): readonly LogAttributes[] {
    const { source, destination } = this.connection;
    const { ofRecord, ends } = this.context;
    const flowClass = classOf(this.connection);
    const shared = [ofRecord, classAttributes(flowClass)];
    if (source !== undefined) shared.push(ends.source(source.address));
    if (destination !== undefined && flowClass.path !== "derp") shared.push(ends.destination(destination.address));
    return shared;
  }

  get attributes(): LogAttributes {
    const { source, destination, txBytes, rxBytes, txPackets, rxPackets } = this.connection;
    const attributes: AttributesOfLog<"tailscale.network.flow"> = {
      "tailscale.tx.bytes": txBytes,
      "tailscale.rx.bytes": rxBytes,
      "tailscale.tx.packets": txPackets,
      "tailscale.rx.packets": rxPackets,
    };
    if (source !== undefined && source.port !== 0) attributes["source.port"] = source.port;
    if (destination === undefined || classOf(this.connection).path === "derp") return attributes;
    if (destination.port !== 0) attributes["destination.port"] = destination.port;
    if (source === undefined) attributes["network.type"] = destination.address.family;
    return attributes;
  }
}
