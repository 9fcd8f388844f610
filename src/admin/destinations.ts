/** The state of further destinations: their accounts in the journal, and the export to each. */
import { type Journal, primaryDestination } from "../journal/index.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { RecordType } from "../records/types.ts";

/** The state of the export of a signal. It may come from another version of the program, so `kind` may be unknown. */
export interface SignalHealth {
  readonly kind: string;
  /** What is wrong; absent if nothing is. */
  readonly why?: string;
  /** Epoch milliseconds inside the process, RFC 3339 in an answer. */
  readonly since?: number | string;
  /** Metric series that the backend rejects. */
  readonly leftOut?: number;
}

/** What a running instance knows about the export to a further destination. */
export interface ExportOfDestination {
  readonly name: string;
  readonly health: Readonly<Record<"logs" | "metrics", SignalHealth>>;
  /** By signal, epoch milliseconds. */
  readonly lastSuccess: Readonly<Partial<Record<string, number>>>;
}

export interface DestinationStatus {
  readonly name: string;
  /** Absent if it gets no logs: `accepted = delivered + pending + deadLettered + evicted`, in records of its types. */
  readonly records?: {
    readonly types: readonly RecordType[];
    readonly required: boolean;
    readonly accepted: number;
    readonly delivered: number;
    readonly pending: number;
    readonly deadLettered: number;
    readonly evicted: number;
    /** When the oldest pending one was received, RFC 3339. */
    readonly pendingSince?: string;
  };
  /** Absent while no instance runs. */
  readonly export?: ExportOfDestination["health"];
  /** The last time that it accepted each signal since the start, RFC 3339. */
  readonly lastSuccess: Readonly<Record<string, string>>;
}

/** The status of all destinations, in the order of the configuration. */
export function destinationStatuses(
  journal: Pick<Journal, "destinations">,
  exports: readonly ExportOfDestination[],
): readonly DestinationStatus[] {
  const accounts = journal.destinations;
  const names = new Set([...exports, ...accounts].map(({ name }) => name));
  return Array.from(names, (name) => {
    const account = accounts.find((one) => one.name === name);
    const exported = exports.find((one) => one.name === name);
    return {
      name,
      ...(account && { records: recordsOf(account) }),
      ...(exported && { export: exported.health }),
      lastSuccess: writtenTimes(exported?.lastSuccess ?? {}),
    };
  });
}

function recordsOf(account: Journal["destinations"][number]): NonNullable<DestinationStatus["records"]> {
  const { types, isRequired: required, accepted, pending, evicted, cursor, pendingSince } = account;
  const { delivered, deadLettered } = cursor.records;
  const since = pendingSince === undefined ? {} : { pendingSince: timeText(pendingSince) };
  return { types, required, accepted, delivered, pending, deadLettered, evicted, ...since };
}

export function writtenTimes(times: Readonly<Partial<Record<string, number>>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(times).flatMap(([name, at]) => (at === undefined ? [] : [[name, timeText(at)]])),
  );
}

/** Why logs are not delivered to such a destination; `undefined` if they are. */
export function whyNoDestination({ destinations }: Pick<Journal, "destinations">, name: string): string | undefined {
  if (name === primaryDestination || destinations.some((one) => one.name === name)) return undefined;
  const names = [primaryDestination, ...destinations.map((one) => one.name)].join(", ");
  return `no logs are delivered to a destination ${JSON.stringify(name)}; there are: ${names}`;
}
