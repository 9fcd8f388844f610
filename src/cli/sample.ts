/** What `send` sends: records in Tailscale's own shapes that name their origin, so that nobody takes them for real. */

const name = "tailscale2otel-send";
const nodeName = `${name}.tail1234.ts.net`;

/** One webhook event. `now`: epoch milliseconds. */
export function sampleEvent(type: string, now: number): object {
  return {
    timestamp: new Date(now).toISOString(),
    version: 1,
    type,
    tailnet: "example.com",
    message: `A ${type} event by tailscale2otel send`,
    data: { nodeID: "nSENDCNTRL", deviceName: nodeName, managedBy: "send@example.com", actor: "send@example.com" },
  };
}

/** A stream body: one flow record and one audit record, one directly after the other. `now`: epoch milliseconds. */
export function sampleBatch(now: number): string {
  const fields = { recorded: new Date(now).toISOString() };
  const flow = {
    nodeId: "nSENDCNTRL",
    start: new Date(now - 5000).toISOString(),
    end: new Date(now).toISOString(),
    srcNode: { nodeId: "nSENDCNTRL", name: nodeName, addresses: ["100.64.0.1"], user: "send@example.com" },
    virtualTraffic: [
      { proto: 6, src: "100.64.0.1:50000", dst: "100.64.0.2:443", txPkts: 1, txBytes: 64, rxPkts: 1, rxBytes: 64 },
    ],
  };
  const audit = {
    eventGroupID: `${name}-${now}`,
    origin: "CONFIG_API",
    actor: { id: "uSENDCNTRL", type: "USER", loginName: "send@example.com", displayName: name },
    target: { id: "nSENDCNTRL", name: nodeName, type: "NODE", property: "ACL_TAGS" },
    action: "UPDATE",
    new: ["tag:test"],
  };
  return [flow, audit].map((event) => JSON.stringify({ time: now / 1000, event, fields })).join("");
}
