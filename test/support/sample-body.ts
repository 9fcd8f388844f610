/** The sample stream body of the tests, and the totals expected from it, counted independently of the program. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const fixtures = join(import.meta.dirname, "../fixtures/samples");

/** Ten flow records and eight audit records in envelopes, concatenated without separators, as the stream sends them. */
export const sampleBody =
  readFileSync(join(fixtures, "hec-flow.json"), "utf8").trim() +
  readFileSync(join(fixtures, "hec-audit.json"), "utf8").trim();

export interface TrafficSums {
  readonly entries: number;
  readonly txBytes: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly rxPackets: number;
}

/** Counted by hand from the fixture. */
export const handCounted: Readonly<Record<TrafficType, TrafficSums>> = {
  virtual: { entries: 12, txBytes: 269_936, rxBytes: 228_094, txPackets: 295, rxPackets: 268 },
  subnet: { entries: 2, txBytes: 4_500, rxBytes: 4_500, txPackets: 19, rxPackets: 19 },
  exit: { entries: 5, txBytes: 99_580, rxBytes: 1_955_000, txPackets: 932, rxPackets: 1_442 },
  physical: { entries: 3, txBytes: 284_280, rxBytes: 233_680, txPackets: 296, rxPackets: 278 },
};

export const trafficTypes = ["virtual", "subnet", "exit", "physical"] as const;
export type TrafficType = (typeof trafficTypes)[number];

interface Entry {
  readonly txBytes?: number;
  readonly rxBytes?: number;
  readonly txPkts?: number;
  readonly rxPkts?: number;
}

/** The same sums, counted by the simplest possible code. */
export function countedBodySums(): Readonly<Record<TrafficType, TrafficSums>> {
  const envelopes = JSON.parse(`[${sampleBody.replaceAll('}{"time"', '},{"time"')}]`) as {
    readonly event: Readonly<Record<string, unknown>>;
  }[];
  const sums = trafficTypes.map((type) => {
    const entries = envelopes.flatMap(({ event }) => (event[`${type}Traffic`] ?? []) as Entry[]);
    const sumOf = (field: keyof Entry) => entries.reduce((sum, entry) => sum + (entry[field] ?? 0), 0);
    const counted = {
      entries: entries.length,
      txBytes: sumOf("txBytes"),
      rxBytes: sumOf("rxBytes"),
      txPackets: sumOf("txPkts"),
      rxPackets: sumOf("rxPkts"),
    };
    return [type, counted] as const;
  });
  return Object.fromEntries(sums) as Record<TrafficType, TrafficSums>;
}
