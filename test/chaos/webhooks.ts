/** Seeded webhook deliveries, signed as Tailscale signs them: arrays of events with unique ids. */
import { createHmac } from "node:crypto";
import { createRandom } from "../../src/demo/random.ts";
import { type Batch, noTotals, type SentRecord, type TrafficSource } from "./traffic.ts";

export const webhookSecret = "tskey-webhook-chaos";

/** Deliveries of 1 to 5 events, which sometimes include an earlier one. */
export function webhookTraffic(seed: number): TrafficSource {
  const random = createRandom(seed);
  let last = 0;
  let earlier: SentRecord | undefined;
  return {
    next(): Batch {
      const own = Array.from({ length: 1 + random.below(5) }, () => event(++last, random.below(1e9)));
      const again = earlier !== undefined && random.chance(0.2) ? [earlier] : [];
      const shared = own.length > 1 ? own.slice(0, 1) : [];
      earlier = shared[0] ?? earlier;
      const records = [...own, ...again];
      const body = Buffer.from(JSON.stringify(records.map(({ value }) => value)));
      return { records, own, alone: own.slice(shared.length), invalid: 0, headers: signed(body), body };
    },
  };
}

function signed(body: Uint8Array): Readonly<Record<string, string>> {
  const time = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", webhookSecret).update(`${time}.`).update(body).digest("hex");
  return { "tailscale-webhook-signature": `t=${time},v1=${signature}`, "content-type": "application/json" };
}

function event(number: number, said: number): SentRecord {
  const id = `w${number}CNTRL`;
  const actor = `user-${said}@example.com`;
  const value = {
    timestamp: "2026-11-02T09:15:07.204Z",
    version: 1,
    type: "nodeCreated",
    tailnet: "example.com",
    message: "Node node-1 created",
    data: { nodeID: id, deviceName: "node-1.tail1234.ts.net", actor, url: "https://example.com/" },
  };
  return { id, adds: { ...noTotals(), webhooks: 1 }, events: new Map([[id, actor]]), isPoison: false, value };
}
