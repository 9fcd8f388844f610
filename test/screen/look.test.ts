/** The events that a look keeps: the latest of each kind, ordered by time, and which of them are new. */
import { expect, test } from "bun:test";
import type { AcceptedEvent, EventPage, EventQuery } from "../../src/admin/events/index.ts";
import type { Overview } from "../../src/admin/overview.ts";
import { createLook } from "../../src/screen/look.ts";

const event = (type: "audit" | "webhook", second: number): AcceptedEvent => ({
  id: `${type}.${second}`,
  type,
  source: "stream",
  acceptedAt: "2026-11-02T09:16:00.000Z",
  time: new Date(Date.UTC(2026, 10, 2, 9, 15, second)).toISOString(),
  observedTime: "2026-11-02T09:16:00Z",
  name: "tailscale.config.audit",
  severity: "INFO",
  body: "",
  attributes: {},
});

const overview = {
  at: "2026-11-02T09:16:00.000Z",
  startedAt: "2026-11-02T09:13:59.000Z",
  conservation: { received: 0 },
  entries: 0,
} as Overview;

/** An instance with these events, to which a test may push more. */
function instanceWith(events: AcceptedEvent[]) {
  const page = ({ types, last, from }: EventQuery): EventPage => {
    const found = events.slice(Number(from ?? 0)).filter(({ type }) => types.some((one) => one === type));
    return {
      events: last === undefined ? found : found.slice(-last),
      next: String(events.length),
      isEnd: true,
      behindSeconds: 0,
    };
  };
  return { overview: async () => overview, events: async (query: EventQuery) => page(query) };
}

const secondsOf = (events: readonly AcceptedEvent[]) => events.map(({ id }) => id);

test("the latest three audit and webhook events each are kept, ordered by time", async () => {
  const events = [1, 3, 5, 7].map((second) => event("audit", second));
  events.push(...[2, 4, 6, 8].map((second) => event("webhook", second)));
  const watched = instanceWith(events);
  const look = createLook();
  const latest = ["audit.3", "webhook.4", "audit.5", "webhook.6", "audit.7", "webhook.8"];
  const first = await look(watched);
  expect([secondsOf(first.events), secondsOf(first.fresh)]).toEqual([latest, latest]);
  events.push(event("webhook", 10), event("audit", 9));
  const second = await look(watched);
  expect(secondsOf(second.events)).toEqual([...latest.slice(2), "audit.9", "webhook.10"]);
  expect(secondsOf(second.fresh)).toEqual(["audit.9", "webhook.10"]);
});
