/** Seeded stream batches whose records have unique ids that can be read from whatever leaves the program. */
import { zstdCompressSync } from "node:zlib";
import { createRandom, type Random } from "../../src/demo/random.ts";

/** Totals that counters must add up to. */
export const totalNames = [
  "txBytes",
  "rxBytes",
  "txPackets",
  "rxPackets",
  "entries",
  "flows",
  "audits",
  "webhooks",
] as const;
export type Totals = Record<(typeof totalNames)[number], number>;

export interface SentRecord {
  readonly id: string;
  readonly adds: Totals;
  /** Its log events by what identifies them, and the required content of each. */
  readonly events: ReadonlyMap<string, string>;
  /** True if the backend always rejects it. */
  readonly isPoison: boolean;
  readonly value: object;
}

/** The content of one request. It is accepted as a whole or not at all. */
export interface Batch {
  readonly records: readonly SentRecord[];
  /** Records that no earlier batch carried. */
  readonly own: readonly SentRecord[];
  /** Records that no other batch carries; they are accepted together or not at all. */
  readonly alone: readonly SentRecord[];
  /** Number of records in it that must be quarantined, each once. */
  readonly invalid: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface TrafficSource {
  next(): Batch;
}

export const noTotals = (): Totals => ({
  txBytes: 0,
  rxBytes: 0,
  txPackets: 0,
  rxPackets: 0,
  entries: 0,
  flows: 0,
  audits: 0,
  webhooks: 0,
});

const poisonMark = "nPOISON";
const nodes = 12;
const remembered = 64;

/** True if a log event's node id belongs to a poisonous record. */
export const isPoisonId = (nodeId: unknown): boolean => String(nodeId).startsWith(poisonMark);

export interface TrafficOptions {
  /** Whether some records are poisonous; default: true. */
  readonly hasPoison?: boolean;
  /** Maximum number of new records per batch; default: 40. */
  readonly maxRecords?: number;
  /** When the flow with that number began, in epoch milliseconds; by default, on a past day. */
  readonly startOf?: (number: number) => number;
}

/** HEC batches of 1 to 40 records: flows, audit records, and sometimes a known, invalid or poisonous one. */
export function streamTraffic(seed: number, token: string, options: TrafficOptions = {}): TrafficSource {
  const { maxRecords = 40 } = options;
  const random = createRandom(seed);
  const headers = { authorization: `Splunk ${token}`, "content-encoding": "zstd" };
  const earlier: SentRecord[] = [];
  let last = 0;
  return {
    next() {
      const own: SentRecord[] = [];
      for (let left = 1 + random.below(maxRecords); left > 0; left--) {
        own.push(random.chance(0.1) ? auditRecord(++last, random) : flowRecord(++last, random, options));
      }
      const again = earlier.length > 0 && random.chance(0.15) ? [random.pick(earlier), random.pick(earlier)] : [];
      const invalid = random.chance(0.05) ? [invalidValue(++last)] : [];
      const shared = own.length > 2 ? own.slice(0, 2) : [];
      earlier.push(...shared);
      earlier.splice(0, Math.max(0, earlier.length - remembered));
      const records = [...own, ...again];
      const values = [...records.map(({ value }) => value), ...invalid];
      const body = zstdCompressSync(values.map(enveloped).join(""));
      return { records, own, alone: own.slice(shared.length), invalid: invalid.length, headers, body };
    },
  };
}

/** A batch with one harmless flow, the newest of all, to test the backend's health. */
export function lastBatch(token: string): Batch {
  const headers = { authorization: `Splunk ${token}` };
  const record = flowRecord(1e9, createRandom(1), { hasPoison: false });
  const records = [record];
  return { records, own: records, alone: records, invalid: 0, headers, body: Buffer.from(enveloped(record.value)) };
}

function enveloped(event: object): string {
  return JSON.stringify({ time: 1_793_610_908.125, event, fields: { recorded: "2026-11-02T09:15:07.204000111Z" } });
}

export function flowRecord(number: number, random: Random, options: TrafficOptions): SentRecord {
  const { hasPoison = true, startOf = startOnAPastDay } = options;
  const isPoison = hasPoison && random.chance(0.0008);
  const nodeId = `${isPoison ? poisonMark : "n"}${number}CNTRL`;
  const [from, to] = [random.below(nodes), random.below(nodes)];
  const adds = { ...noTotals(), flows: 1 };
  const events = new Map<string, string>();
  const entries = Array.from({ length: 1 + random.below(3) }, (_, place) => {
    const entry = {
      proto: random.pick([6, 17]),
      src: `100.64.1.${from}:${40_000 + place}`,
      dst: `100.64.1.${to}:443`,
      txPkts: random.around(20),
      txBytes: random.around(20_000),
      rxPkts: random.around(20),
      rxBytes: random.chance(0.001) ? 2 ** 40 : random.around(20_000),
    };
    adds.entries++;
    adds.txBytes += entry.txBytes;
    adds.rxBytes += entry.rxBytes;
    adds.txPackets += entry.txPkts;
    adds.rxPackets += entry.rxPkts;
    events.set(`${nodeId} ${40_000 + place}`, `${entry.txBytes} ${entry.rxBytes} ${entry.txPkts} ${entry.rxPkts}`);
    return entry;
  });
  const node = (place: number) => ({ nodeId, name: `node-${place}.tail1234.ts.net`, addresses: [`100.64.1.${place}`] });
  const startMs = startOf(number);
  const value = {
    nodeId,
    start: new Date(startMs).toISOString(),
    end: new Date(startMs + 5000).toISOString(),
    srcNode: node(from),
    dstNodes: [node(to)],
    virtualTraffic: entries,
  };
  return { id: nodeId, adds, events, isPoison, value };
}

const startOnAPastDay = (number: number): number => 1_793_610_000_000 + number * 5;

export function auditRecord(number: number, random: Random): SentRecord {
  const id = `group-${number}`;
  const said = `value ${random.below(1e9)}`;
  const value = {
    eventGroupID: id,
    origin: "ADMIN_CONSOLE",
    actor: { id: "uONECNTRL", type: "USER", loginName: "alice@example.com" },
    target: { id: "T1CNTRL", name: "example.com", type: "TAILNET", property: "ACL" },
    action: "UPDATE",
    new: said,
  };
  return { id, adds: { ...noTotals(), audits: 1 }, events: new Map([[id, said]]), isPoison: false, value };
}

function invalidValue(number: number): object {
  return { nodeId: `nBAD${number}CNTRL`, virtualTraffic: [{ proto: 6, txBytes: -1 }] };
}
