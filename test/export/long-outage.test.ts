/** A backend that takes nothing for an hour, whatever it answers, costs no record and no dead letter. An hour takes 3.6 seconds here. */
import { expect, test } from "bun:test";
import { createRandom } from "../../src/cli/demo/random.ts";
import { type Behaviour, startOtlpSink } from "../support/otlp-sink.ts";
import { channelTo, fastClock, numbered, startDelivery } from "./delivery.ts";

const hourMs = 3_600_000;

const status = (code: number): Behaviour => ({ kind: "status", status: code, body: "no" });
const random = createRandom(3);
const mixed: readonly Behaviour[] = [400, 413, 422, 429, 500, 503].map(status);

const backends: readonly (readonly [string, () => Behaviour])[] = [
  ["400", () => status(400)],
  ["500", () => status(500)],
  ["401", () => status(401)],
  ["429 with Retry-After", () => ({ kind: "status", status: 429, headers: { "retry-after": "30" } })],
  ["resets", () => ({ kind: "reset" })],
  ["now this, now that", () => random.pick(mixed)],
];

test("an hour of anything but 200 loses nothing, while records come in", async () => {
  await Promise.all(backends.map(([name, behaviour]) => outlast(name, behaviour)));
}, 30_000);

async function outlast(name: string, behaviour: () => Behaviour): Promise<void> {
  const sink = await startOtlpSink();
  const running = startDelivery([], { channel: channelTo(sink.url), maxRecords: 16 });
  try {
    sink.behave(behaviour);
    const until = fastClock() + hourMs;
    let records = 0;
    while (fastClock() < until) {
      running.commit(numbered([1, 2, 1]).map((events) => events.map((event) => `${records}-${event}`)));
      records += 3;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    expect([name, running.cursors]).toEqual([name, []]);
    expect(sink.requests.length).toBeGreaterThan(10);
    sink.behave(() => ({ kind: "take" }));
    await running.drained();
    expect([name, running.setAside]).toEqual([name, []]);
    expect(running.cursor.records).toEqual({ delivered: records, deadLettered: 0 });
    expect(new Set(sink.logs.map(({ body }) => body)).size).toBe((records / 3) * 4);
  } finally {
    await running.delivery.stop(1);
    await sink.stop();
  }
}
