/** A ledger over a journal that only stores snapshots, and a short notation for flow columns. */
import { inspectConfig } from "../../src/config/index.ts";
import type { Config } from "../../src/config/schema.ts";
import type { Logger } from "../../src/lib/logger.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Journal, type LogCursor, type Snapshot, startOfJournal } from "../../src/journal/index.ts";
import { type Fold, Ledger, type LedgerDeps } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import { directoryOf } from "../../src/processors/directory.ts";
import { processorSettingsOf } from "../../src/processors/settings.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { FlowColumns } from "../../src/records/flow/columns.ts";
import { readFlow } from "../../src/records/flow/reader.ts";

export function configOf(...assignments: string[]): Config {
  return inspectConfig({
    environment: {},
    assignments,
    workingDirectory: "/",
    system: { platform: "linux", homeDirectory: "/" },
  }).config;
}

/** The parts of a journal that a ledger needs. */
export class SnapshotJournal {
  identity = { instanceId: "i", identitySecret: "00".repeat(16), privacySalt: "00", tailnet: 1, createdAt: 1000 };
  cursor: LogCursor = startOfJournal;
  readonly destinations = [];
  readonly minutes: Journal["minutes"] = { totals: () => [], read: () => undefined, gap: undefined };
  measuredSeq = 0;
  readonly blobs = new Map<string, Uint8Array>();
  /** The names of each write. */
  readonly written: string[][] = [];
  readonly settled: number[] = [];
  failure: Error | undefined;

  readSnapshot(): { measuredSeq: number; blobs: ReadonlyMap<string, Uint8Array> } {
    return { measuredSeq: this.measuredSeq, blobs: this.blobs };
  }

  writeSnapshot({ measuredSeq, blobs }: Snapshot): void {
    if (this.failure !== undefined) throw this.failure;
    this.measuredSeq = measuredSeq;
    this.written.push([...blobs.keys()].toSorted());
    for (const [name, blob] of blobs) {
      if (blob === undefined) this.blobs.delete(name);
      else this.blobs.set(name, blob.slice());
    }
  }

  beginSeriesAnew(at: number): void {
    this.blobs.clear();
    this.identity = { ...this.identity, createdAt: at };
    const { seq, record, logRecord } = this.cursor;
    this.cursor = { ...startOfJournal, seq, record, logRecord };
  }

  settleLoss(accepted: number): void {
    this.settled.push(accepted);
  }
}

export function ledgerOver(journal: LedgerDeps["journal"], config: Config, logger: Logger = silentLogger): Ledger {
  return new Ledger(config, { journal, logger });
}

/** One connection entry. Ends are `name` or `name:port`; one letter is a node in the directory, anything else an address. */
export interface Entry {
  readonly from?: string;
  readonly to?: string;
  readonly traffic?: "virtual" | "subnet" | "exit" | "physical";
  readonly proto?: number;
  readonly tx?: number;
  readonly rx?: number;
  readonly txPackets?: number;
  readonly rxPackets?: number;
}

const trafficMembers = {
  virtual: "virtualTraffic",
  subnet: "subnetTraffic",
  exit: "exitTraffic",
  physical: "physicalTraffic",
} as const;

const nodes = Array.from({ length: 26 }, (_, index) => String.fromCodePoint(97 + index));

/** Counts flow records with these entries as the pipeline does, with a directory of the nodes `a` to `z`. */
export class Flows {
  readonly edges: EdgeBook;
  readonly ends: EndBook;
  readonly #settings: ReturnType<typeof processorSettingsOf>;
  readonly #claims = new ClaimTable();

  constructor(config: Config, journal: SnapshotJournal = new SnapshotJournal()) {
    this.#settings = processorSettingsOf(config, journal.identity);
    this.#settings.directory.current = directoryOf(
      nodes.map((label, index) => ({
        nodeId: `n${label}`,
        label,
        addresses: [`100.64.0.${index + 1}`],
        os: "",
        user: "",
        tags: [],
      })),
    );
    this.edges = new EdgeBook(this.#settings);
    this.ends = new EndBook(this.#settings);
  }

  /** Returns one measured record per list of entries. `nodeId` is the reporting node. */
  columns(records: readonly (readonly Entry[])[], nodeId = "na"): FlowColumns {
    const columns = new FlowColumns();
    for (const entries of records) {
      const members: Record<string, object[]> = {};
      for (const entry of entries) (members[trafficMembers[entry.traffic ?? "virtual"]] ??= []).push(wireOf(entry));
      const times = { start: "2026-01-01T00:00:00Z", end: "2026-01-01T00:00:05Z" };
      readFlow({ nodeId, ...times, ...members } as never, undefined, this.#claims, columns);
    }
    this.measure(columns);
    return columns;
  }

  measure(columns: FlowColumns): void {
    const context = { settings: this.#settings, ends: this.ends, edges: this.edges };
    measureFlow(columns, 0, columns.records, context);
  }

  add(ledger: Ledger, ...entries: Entry[]): void {
    ledger.addFlows(this.columns([entries]), undefined, this.edges);
  }
}

function wireOf({ from, to, proto = 6, tx, rx, txPackets, rxPackets }: Entry): object {
  return {
    proto,
    ...(from === undefined ? {} : { src: endpointOf(from, 40_000) }),
    ...(to === undefined ? {} : { dst: endpointOf(to, 50_000) }),
    ...(tx === undefined ? {} : { txBytes: tx }),
    ...(rx === undefined ? {} : { rxBytes: rx }),
    ...(txPackets === undefined ? {} : { txPkts: txPackets }),
    ...(rxPackets === undefined ? {} : { rxPkts: rxPackets }),
  };
}

function endpointOf(end: string, port: number): string {
  if (end.startsWith("[")) return end;
  const [host = "", given = String(port)] = end.split(":");
  const node = nodes.indexOf(host);
  return `${node < 0 ? host : `100.64.0.${node + 1}`}:${given}`;
}

/** The series of a metric in a fold, as plain objects. */
export function shown({ metrics }: Fold, name: string): { attributes: object; value: number; startAt: number }[] {
  return metrics.filter((metric) => metric.name === name).flatMap((metric) => [...seriesOf(metric)]);
}
