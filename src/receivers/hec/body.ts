/** Takes a body that has been read into a draft, slice by slice, and judges it as a whole. */
import { Refusal } from "../../errors.ts";
import type { Body } from "../../http/body.ts";
import type { Reservation } from "../../http/byte-budget.ts";
import type { Draft } from "../../pipeline/types.ts";
import { maxRecords, tooManyRecords, unwrap, type Unwrapped } from "../../records/envelope.ts";
import type { JsonObject } from "../../records/types.ts";
import type { Compression } from "../../runtime/decompress.ts";
import { collectGarbage } from "../../runtime/memory.ts";
import { textSlices } from "./slices.ts";
import { ValueSplitter } from "./splitter.ts";
import type { Turns } from "../turns.ts";

export const maxConnections = 2_000_000;

/** So much text leaves some 50 MB of values behind. A 64 MiB body must stay under 400 MB in all. */
const charactersPerCollection = 4 * 1024 * 1024;

export interface BodyIntake {
  readonly compression: Compression | undefined;
  /** After decompression. */
  readonly maxBytes: number;
  /** What to tell the sender of more. */
  readonly tooLarge: string;
  readonly reservation: Reservation;
  readonly turns: Turns;
  /** How much is worked on without a pause; a default where absent. */
  readonly sliceBytes?: number;
  /** Throws when nobody waits for the answer any more. */
  checkDeadline(): void;
}

/** What was in a body, and how large its text was. */
export interface Taken {
  readonly isEmpty: boolean;
  readonly bytes: number;
}

/**
 * Adds every record of the body to the draft. The draft must be dropped when this throws.
 * @throws {Refusal} `unparsable` with the position of the damaged value, `too_large` or `overloaded`.
 */
export async function takeBody(body: Body, draft: Draft, intake: BodyIntake): Promise<Taken> {
  let inflatedBytes = 0;
  let connections = 0;
  let found: Unwrapped = { records: [], skipped: [] };
  const splitter = new ValueSplitter((value, text) => unwrap(value, text, found));
  const slices = textSlices(body, intake.compression, {
    sliceBytes: intake.sliceBytes,
    onInflated(bytes) {
      inflatedBytes += bytes;
      if (inflatedBytes > intake.maxBytes) throw new Refusal("too_large", intake.tooLarge);
      reserve(intake, bytes);
    },
  });
  try {
    let isFirst = true;
    let uncollected = 0;
    for await (const slice of slices) {
      if (!isFirst) await intake.turns.next();
      isFirst = false;
      uncollected += slice.length;
      if (uncollected > charactersPerCollection) {
        collectGarbage();
        uncollected = 0;
      }
      intake.checkDeadline();
      splitter.push(slice);
      for (const { value } of found.records) connections += connectionsIn(value);
      checkCounts(draft.records + found.records.length + found.skipped.length, connections);
      draft.add(found.records);
      draft.skip(found.skipped);
      found = { records: [], skipped: [] };
    }
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    throw splitter.damage ?? new Refusal("unparsable", error.message, { valueIndex: splitter.values });
  }
  splitter.end();
  return {
    isEmpty: splitter.isEmpty,
    bytes: intake.compression === undefined ? body.bytes : inflatedBytes,
  };
}

function reserve({ reservation, tooLarge }: BodyIntake, bytes: number): void {
  const answer = reservation.grow(bytes);
  if (answer === "impossible") throw new Refusal("too_large", tooLarge);
  if (answer === "full") throw new Refusal("overloaded", "too many bytes in flight");
}

/** Counted before they are decoded, so that too many of them cost no more than their parsing. */
function connectionsIn(record: JsonObject): number {
  let connections = 0;
  for (const member of trafficMembers) {
    const entries = record[member];
    if (Array.isArray(entries)) connections += entries.length;
  }
  return connections;
}

const trafficMembers = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"] as const;

function checkCounts(records: number, connections: number): void {
  if (records > maxRecords) throw new Refusal("too_large", tooManyRecords);
  if (connections > maxConnections)
    throw new Refusal(
      "too_large",
      `More than ${maxConnections} connection entries in one request (no setting changes this limit)`,
    );
}
