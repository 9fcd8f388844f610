/** The recovery guarantee: what the stored rows count is what was counted at their commit, whatever was sent and however. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Increments, merge, noIncrements } from "../../src/catalogue/increments.ts";
import { Ledger, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { conservationOf } from "../../src/pipeline/conservation.ts";
import { createPipeline, incrementsOf, incrementsOfRow } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import type { Source } from "../../src/records/types.ts";
import { createState, type TestState } from "../support/journal.ts";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { enveloped, unwrapped } from "../support/records.ts";

const names = { collapseExternal: true };
const ledgerOptions = { metricsMode: "both", rollupTopN: 2, metricLimit: 1000, idleFolds: 100 } as const;

const value = fc.oneof(
  { weight: 6, arbitrary: flowRecordValue.map((record) => enveloped(record)) },
  { weight: 2, arbitrary: auditRecordValue.map((record) => enveloped(record)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      { unknown: 1 },
      { nodeId: "n", virtualTraffic: [{ txBytes: -1 }] },
      { nodeId: "n", virtualTraffic: [7] },
    ),
  },
);

/**
 * What happens, in order: batches that share a turn, or a fold with its snapshot. Values are taken from a small pool, so that
 * records come again in one batch, in one turn and later.
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

/** Sums by what they are exported as. */
function sums({ flows, counts }: Increments): Record<string, unknown> {
  const all: Record<string, Record<string, number> | number> = {};
  for (const [edge, flow] of flows) {
    const key = `${edge.pair.key} ${edge.class.key}`;
    const known = all[key] as Record<string, number> | undefined;
    all[key] = Object.fromEntries(Object.entries(flow).map(([name, sum]) => [name, sum + (known?.[name] ?? 0)]));
  }
  for (const [key, { value: sum }] of counts) all[key] = sum;
  return all;
}

/** Series in an order of their own; which was first is no part of the guarantee. */
function inOrder({ at, metrics }: LedgerView): unknown {
  return {
    at,
    metrics: Object.fromEntries(
      metrics.map(({ name, series }) => [name, series.map((one) => JSON.stringify(one)).toSorted()]),
    ),
  };
}

function storedSums(state: TestState, fromSeq = 1): Increments {
  const journal = state.open();
  const reader = journal.openReader();
  const into = noIncrements();
  for (const row of reader.read(fromSeq, { rows: 10_000, bytes: Number.MAX_SAFE_INTEGER })) {
    merge(
      into,
      incrementsOfRow(row, names, (line, reason) => expect.unreachable(`${reason}: ${line}`)),
    );
  }
  reader.close();
  journal.close();
  return into;
}

test("rows count what their commit counted, and a restart changes no total", async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (done) => {
      const state = createState();
      try {
        const journal = state.open();
        const atCommit = noIncrements();
        const ledger = new Ledger(ledgerOptions, state.now);
        journal.onCommitted((committed) => {
          for (const increments of incrementsOf(committed)) {
            merge(atCommit, increments);
            ledger.add(increments);
          }
        });
        const pipeline = createPipeline(journal, names);
        let received = 0;
        for (const step of done) {
          if (step === "fold") {
            ledger.fold(state.now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
            continue;
          }
          await Promise.all(
            step.map(({ source, values }) => {
              const draft = pipeline.open({ source, receivedAt: state.now });
              for (const { records, skipped } of values.map((sent) => unwrapped(sent))) {
                draft.add(records);
                draft.skip(skipped);
              }
              received += values.length;
              return draft.commit(values.length);
            }),
          );
        }
        const sum = conservationOf(journal, ledger);
        expect(sum.received).toBe(received);
        expect(sum.accepted + sum.duplicate + sum.skipped + sum.quarantined).toBe(received);
        expect(sum.delivered + sum.pending + sum.deadLettered).toBe(sum.accepted);
        accepted += sum.accepted;
        journal.close();

        expect(sums(storedSums(state))).toEqual(sums(atCommit));

        const again = state.open();
        const recovered = new Ledger(ledgerOptions, state.now);
        recover(again, recovered, names, silentLogger);
        const noWrite = (): void => {};
        state.now += 60_000;
        expect(inOrder(recovered.fold(state.now, 0, noWrite))).toEqual(inOrder(ledger.fold(state.now, 0, noWrite)));
        expect(conservationOf(again, recovered)).toEqual(sum);
      } finally {
        state.remove();
      }
    }),
    seeded(60),
  );
  expect(accepted).toBeGreaterThan(150);
}, 60_000);
