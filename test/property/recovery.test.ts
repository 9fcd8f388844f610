/**
 * Tests that rows count what their commits counted and that a restart changes no total, for any input, batches and
 * interleaving.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Fold } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import type { Source } from "../../src/records/types.ts";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { Restarts, send, sumsOf } from "../pipeline/restarts.ts";
import { enveloped } from "../support/records.ts";

const settings = ["cardinality.flow.metrics_mode=both", "cardinality.flow.rollup_top_n=2", "cardinality.series_ttl=1h"];

const value = fc.oneof(
  { weight: 6, arbitrary: flowRecordValue.map((record) => enveloped(record)) },
  { weight: 2, arbitrary: auditRecordValue.map((record) => enveloped(record)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      { unknown: 1 },
      { nodeId: "n", virtualTraffic: [{ txBytes: -1 }] },
      { nodeId: "n", virtualTraffic: [7] },
      { nodeId: "m", virtualTraffic: [{ txBytes: 1 }, 7] },
    ),
  },
);

/**
 * Steps in order: batches committed in one turn, or a fold with its snapshot. Values are from a small pool, so that records
 * repeat in one batch, in one turn and later.
 */
const steps = fc.array(value, { minLength: 1, maxLength: 8 }).chain((pool) => {
  const batch = fc.record({
    source: fc.constantFrom<Source>("stream", "poll"),
    values: fc.array(fc.constantFrom(...pool), { maxLength: 8 }),
  });
  const turn = fc.array(batch, { minLength: 1, maxLength: 3 });
  return fc.array(fc.oneof({ weight: 4, arbitrary: turn }, { weight: 1, arbitrary: fc.constant("fold" as const) }), {
    maxLength: 6,
  });
});

/**
 * Sorted, because the order of series is not guaranteed. Gauges of an interval are left out, because they start with the
 * process.
 */
function inOrder({ at, metrics }: Fold): unknown {
  const counters = metrics.filter(({ name }) => !name.startsWith("tailscale.network.unique"));
  return {
    at,
    metrics: Object.fromEntries(
      counters.map((metric) => [metric.name, [...seriesOf(metric)].map((one) => JSON.stringify(one)).toSorted()]),
    ),
  };
}

test("a restart after a kill changes no total and no sum", async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (done) => {
      const restarts = new Restarts(settings);
      try {
        let received = 0;
        for (const step of done) {
          const { store } = restarts;
          if (step === "fold") {
            await store.ledger.fold((restarts.now += 60_000));
            continue;
          }
          const outcomes = step.map(({ source, values }) => send(store, values, { source, receivedAt: restarts.now }));
          for (const outcome of await Promise.all(outcomes))
            received += Object.values(outcome).reduce((sum, records) => sum + records, 0);
        }
        const sums = sumsOf(restarts.store);
        expect(sums.received).toBe(received);
        accepted += sums.accepted;
        await restarts.restart();
        expect(sumsOf(restarts.store)).toEqual(sums);
        const unmeasured = restarts.store.ledger.sum("tailscale2otel.quarantine.records", { class: "note" });
        expect(unmeasured).toBe(0);
        const recovered = await restarts.store.ledger.fold((restarts.now += 60_000));
        const twin = await replayed(done);
        expect(inOrder(recovered)).toEqual(inOrder(twin));
      } finally {
        restarts.remove();
      }
    }),
    seeded(40),
  );
  expect(accepted).toBeGreaterThan(100);
}, 120_000);

type Step = typeof steps extends fc.Arbitrary<(infer One)[]> ? One : never;

/** The last fold of a store that went through the same steps without a restart. */
async function replayed(done: readonly Step[]): Promise<Fold> {
  const restarts = new Restarts(settings);
  try {
    const { store } = restarts;
    for (const step of done) {
      if (step === "fold") await store.ledger.fold((restarts.now += 60_000));
      else
        await Promise.all(step.map(({ source, values }) => send(store, values, { source, receivedAt: restarts.now })));
    }
    return await store.ledger.fold((restarts.now += 60_000));
  } finally {
    restarts.remove();
  }
}
