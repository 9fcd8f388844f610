/** The class of a connection as attributes of its log event: the same object for the same class. */
import type { FlowClass } from "../catalogue/increments.ts";
import type { LogAttributes } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";

const knownClasses = new WeakMap<FlowClass, LogAttributes>();

/** Traffic, transport, service and path; no ports. */
export function classAttributes(flowClass: FlowClass): LogAttributes {
  let known = knownClasses.get(flowClass);
  if (known === undefined) {
    const { transport, traffic, path, derpRegion, service } = flowClass;
    known = {
      "network.transport": transport,
      "tailscale.traffic_type": traffic,
      ...(service === undefined ? {} : { "tailscale.dst.service": service }),
      ...(path === undefined ? {} : { "tailscale.path": path }),
      ...(derpRegion === undefined ? {} : { "tailscale.derp.region_id": Number(derpRegion) }),
    } satisfies AttributesOfLog<"tailscale.network.flow">;
    knownClasses.set(flowClass, known);
  }
  return known;
}
