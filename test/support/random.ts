/** Arbitrary records for property tests, with few enough values to collide, and the seed all properties share. */
import fc from "fast-check";
import type { JsonObject } from "../../src/records/types.ts";

/** The same cases in every run; `numRuns` is for slow or cheap properties. */
export function seeded(numRuns = 200): { seed: number; numRuns: number } {
  return { seed: 20_261_102, numRuns };
}

const addresses = [
  "100.64.1.1",
  "100.64.1.2",
  "100.64.2.7",
  "10.20.0.15",
  "203.0.113.80",
  "[fd7a:115c:a1e0::1:1]",
  "[2001:db8::35]",
  "[::ffff:192.0.2.1]",
  "127.3.3.40",
];

const endpoint = fc
  .tuple(fc.constantFrom(...addresses), fc.constantFrom(0, 4, 22, 53, 443, 51_000))
  .map(([address, port]) => `${address}:${port}`);

const counter = fc.oneof(fc.nat(5), fc.nat(1_000_000), fc.constant(2 ** 40));

/** One connection entry as on the wire, with any member possibly absent. */
export const connectionValue: fc.Arbitrary<JsonObject> = fc.record(
  {
    proto: fc.constantFrom(0, 1, 6, 17, 58, 99, 200, 255, "6", "tcp"),
    src: endpoint,
    dst: endpoint,
    txPkts: counter,
    txBytes: counter,
    rxPkts: counter,
    rxBytes: counter,
  },
  { requiredKeys: [] },
);

const traffic = fc.array(connectionValue, { maxLength: 4 });

const node = fc.record(
  {
    nodeId: fc.constantFrom("nONECNTRL", "nTWOCNTRL"),
    name: fc.constantFrom("web-1.tail1234.ts.net", "db-1", ""),
    addresses: fc.subarray(["100.64.1.1", "100.64.1.2", "fd7a:115c:a1e0::1:1"]),
    tags: fc.subarray(["tag:web", " tag:db "]),
  },
  { requiredKeys: [] },
);

/** A valid flow record; there are few nodes and windows, so that windows repeat. */
export const flowRecordValue: fc.Arbitrary<JsonObject> = fc
  .tuple(
    fc.record({
      nodeId: fc.constantFrom("nONECNTRL", "nTWOCNTRL", "nSIXCNTRL"),
      start: fc.nat(20).map((second) => `2026-11-02T09:15:${String(second).padStart(2, "0")}Z`),
      virtualTraffic: traffic,
    }),
    fc.record(
      { srcNode: node, dstNodes: fc.array(node, { maxLength: 2 }), physicalTraffic: traffic, exitTraffic: traffic },
      { requiredKeys: [] },
    ),
  )
  .map(([needed, optional]) => ({ ...needed, ...optional }));

/** A valid audit record. */
export const auditRecordValue: fc.Arbitrary<JsonObject> = fc.record({
  eventGroupID: fc.constantFrom("", "g1", "g2", "g3"),
  origin: fc.constantFrom("ADMIN_CONSOLE", "NODE", "QUANTUM_CONSOLE"),
  actor: fc.record({ id: fc.constantFrom("u1", "u2"), type: fc.constantFrom("USER", "NODE") }),
  target: fc.record({ id: fc.constantFrom("t1", "t2"), type: fc.constantFrom("NODE", "TAILNET") }),
  action: fc.constantFrom("CREATE", "UPDATE", "ENTANGLE"),
  new: fc.jsonValue({ maxDepth: 2 }),
});

/** A small pseudo-random generator of numbers below `bound` (mulberry32). */
export function randomBelow(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
