/** Reads a body into a batch: inflated piece by piece, within the limits on bytes and memory, with pauses for others. */
import { Refusal } from "../../errors.ts";
import type { Body } from "../../http/body.ts";
import type { Reservation } from "../../http/byte-budget.ts";
import type { Turns } from "../turns.ts";
import { type Compression, decompress, decompressAtOnce } from "../../runtime/decompress.ts";
import type { Batch } from "../../pipeline/batch.ts";
import { collectGarbage } from "../../runtime/memory.ts";
import { damaged, ValueReader } from "./values.ts";

/** Bytes that are worked on without a pause: 2 ms for usual records. A typical request is 160 KB. */
const sliceBytes = 256 * 1024;

/**
 * So much text leaves some 50 MB of buffers and values behind, which the collector would let grow: a 64 MiB body must stay
 * under 400 MB in all. A value counts as 256 bytes more than its text, and each of its parts as 128.
 */
const bytesPerCollection = 16 * 1024 * 1024;
const bytesPerValue = 256;
const bytesPerPart = 128;

export interface BodyIntake {
  readonly compression: Compression | undefined;
  /** After decompression. */
  readonly maxBytes: number;
  /** What to tell the sender of more. */
  readonly tooLarge: string;
  readonly reservation: Reservation;
  readonly turns: Turns;
  /** Throws if nobody waits for the answer any more. */
  checkDeadline(): void;
}

/** What was in a body, and how large its text was. */
export interface BodyContent {
  readonly isEmpty: boolean;
  readonly bytes: number;
}

/**
 * Adds every record of the body to the batch. The batch must be dropped if this throws.
 * @throws {Refusal} `unparsable` with the position of the damaged value, `too_large` or `overloaded`.
 */
export async function readBodyInto(batch: Batch, body: Body, intake: BodyIntake): Promise<BodyContent> {
  const values = new ValueReader(batch);
  const atOnce = intake.compression && decompressAtOnce(body.chunks, intake.compression);
  if (atOnce !== undefined && intake.compression === "zstd")
    batch.whole = { frame: atOnce.frame, text: atOnce.content };
  let bytes = 0;
  let heldBytes = 0;
  let collectedBytes = 0;
  let damage: Refusal | undefined;
  const pieces =
    atOnce === undefined ? piecesOf(body, intake.compression, () => damage ?? damaged(values.count)) : [atOnce.content];
  /** What was inflated at once is small enough to be worked on at once: 1 MiB takes 8 ms. */
  const stepBytes = atOnce === undefined ? sliceBytes : Number.POSITIVE_INFINITY;
  for await (const piece of pieces) {
    bytes += piece.byteLength;
    if (bytes > intake.maxBytes) throw new Refusal("too_large", intake.tooLarge);
    if (intake.compression !== undefined) reserve(intake, piece.byteLength);
    for (let from = 0; from < piece.byteLength && damage === undefined; from += stepBytes) {
      if (bytes > sliceBytes) await intake.turns.next();
      intake.checkDeadline();
      try {
        values.push(stepBytes < piece.byteLength ? piece.subarray(from, from + stepBytes) : piece);
      } catch (error) {
        /** A body over its limit is refused for that, whatever it holds. */
        if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
        damage = error;
      }
      reserve(intake, Math.max(0, batch.byteLength - heldBytes));
      heldBytes = Math.max(heldBytes, batch.byteLength);
      const workedBytes = bytes + values.count * bytesPerValue + values.parts * bytesPerPart;
      if (workedBytes - collectedBytes < bytesPerCollection) continue;
      collectGarbage();
      collectedBytes = workedBytes;
    }
  }
  if (damage !== undefined) throw damage;
  values.end();
  return { isEmpty: values.isEmpty, bytes };
}

function reserve({ reservation, tooLarge }: BodyIntake, bytes: number): void {
  const answer = reservation.grow(bytes);
  if (answer === "impossible") throw new Refusal("too_large", tooLarge);
  if (answer === "full") throw new Refusal("overloaded", "too many bytes in flight");
}

/**
 * The body's bytes, inflated. Each chunk is let go of once it has been used: a large body is not kept beside its text.
 * Throws what `damageOf` says if the compression is damaged; what the reader of the pieces throws stays what it is.
 */
async function* piecesOf(
  body: Body,
  compression: Compression | undefined,
  damageOf: () => Refusal,
): AsyncGenerator<Uint8Array> {
  if (compression === undefined) {
    for (let chunk = body.chunks.shift(); chunk !== undefined; chunk = body.chunks.shift()) yield chunk;
    return;
  }
  const inflated = decompress(body.chunks, compression);
  try {
    for (;;) {
      const { done, value } = await inflated.next().catch(() => {
        throw damageOf();
      });
      if (done) return;
      yield value;
    }
  } finally {
    await inflated.return(undefined);
  }
}
