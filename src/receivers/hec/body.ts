/** Reads a body into a batch: decompressed in pieces, in steps of a few milliseconds, within the limits on bytes and memory. */
import { Refusal } from "../../errors.ts";
import type { Body } from "../../http/exchange.ts";
import type { Admission } from "../../http/limiter.ts";
import type { Batch } from "../../pipeline/batch.ts";
import { type Compression, decompress, decompressAtOnce } from "../../runtime/decompress.ts";
import { collectGarbage, freeBuffer } from "../../runtime/process.ts";
import { TooManyFrames, WindowTooLarge } from "../../runtime/zstd-frames.ts";
import type { Turns } from "../intake.ts";
import { ValueReader } from "./values.ts";

/** Bytes processed between two pauses: 2 ms for usual records. A typical request is 160 KB. */
const stepBytes = 256 * 1024;

/**
 * Garbage is collected after this much text, which leaves some 25 MB of buffers and values behind: a 64 MiB body must stay under
 * 400 MB in all. A value counts as 256 bytes more than its text, and each of its parts as 128.
 */
const bytesPerCollection = 8 * 1024 * 1024;
const bytesPerValue = 256;
const bytesPerPart = 128;

/**
 * A request that has processed or holds this much waits until no other such request is running: on one thread, running them
 * concurrently would be no faster and would need the memory of all of them at once. Even a small request may hold buffers of
 * 8 MiB that a large one has left.
 */
export const largeWorkedBytes = 1024 * 1024;
const largeHeldBytes = 12 * 1024 * 1024;

export interface BodyLimit {
  /** Applies on the wire and again after decompression. */
  readonly maxBytes: number;
  /** Message for a larger body. */
  readonly tooLarge: string;
}

export interface BodyReading extends BodyLimit {
  readonly compression: Compression | undefined;
  readonly admission: Admission;
  readonly turns: Turns;
  /** Waits until no other large request is running; called once, when this one becomes large. @throws {Refusal} `overloaded` */
  enterLarge(): Promise<void>;
}

/**
 * Adds every record of the body to the batch, which must be dropped if this throws. Resolves with the size of the text, or
 * `undefined` if it is empty.
 * @throws {Refusal} `unparsable` with the position of the damaged value, `body_too_large`, `too_large` or `overloaded`.
 */
export async function readBodyInto(batch: Batch, body: Body, reading: BodyReading): Promise<number | undefined> {
  const { compression, maxBytes, tooLarge, admission, turns } = reading;
  const values = new ValueReader(batch);
  const atOnce = compression && decompressAtOnce(body.chunks, compression);
  if (atOnce !== undefined && compression === "zstd") batch.whole = { frame: atOnce.frame, text: atOnce.content };
  let bytes = 0;
  let heldBytes = 0;
  let collectedBytes = 0;
  let isLarge = false;
  let damage: Refusal | undefined;

  const damagedCompression = (error: unknown): Refusal => {
    if (error instanceof TooManyFrames) return new Refusal("too_large", error.message);
    const isWindow = error instanceof WindowTooLarge;
    return damage ?? values.damaged(isWindow ? error.message : `the ${compression} data is damaged or truncated`);
  };
  const pieces = atOnce === undefined ? piecesOf(body, compression, damagedCompression) : [atOnce.content];

  async function take(step: Iterable<void>): Promise<void> {
    try {
      await turns.run(step);
    } catch (error) {
      // An oversized body is refused as too large even if it is damaged.
      if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
      damage ??= error;
    }
    admission.reserve(Math.max(0, batch.byteLength - heldBytes), tooLarge);
    heldBytes = Math.max(heldBytes, batch.byteLength);
  }

  try {
    for await (const piece of pieces) {
      bytes += piece.byteLength;
      if (bytes > maxBytes) throw new Refusal("body_too_large", tooLarge);
      if (compression !== undefined) admission.reserve(piece.byteLength, tooLarge);
      // A body decompressed in one call is at most 1 MiB, 8 ms of work, and is scanned in place.
      const size = atOnce === undefined ? stepBytes : piece.byteLength;
      for (let from = 0; from < piece.byteLength && damage === undefined; from += size) {
        await take(values.push(size < piece.byteLength ? piece.subarray(from, from + size) : piece));
        const workedBytes = bytes + values.count * bytesPerValue + values.parts * bytesPerPart;
        if (!isLarge && (workedBytes >= largeWorkedBytes || heldBytes >= largeHeldBytes)) {
          isLarge = true;
          await reading.enterLarge();
        }
        if (workedBytes - collectedBytes < bytesPerCollection) continue;
        collectGarbage();
        collectedBytes = workedBytes;
      }
    }
    if (damage === undefined) await take(values.end());
    if (damage !== undefined) throw damage;
    return values.isEmpty ? undefined : bytes;
  } finally {
    values.release();
  }
}

/** The decompressed body. Each piece is freed after use, so that a large body is not held beside its text. */
async function* piecesOf(
  { chunks }: Body,
  compression: Compression | undefined,
  damaged: (error: unknown) => Refusal,
): AsyncGenerator<Uint8Array> {
  if (compression === undefined) {
    for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
      yield chunk;
      freeBuffer(chunk);
    }
    return;
  }
  const data = Buffer.concat(chunks);
  chunks.splice(0).forEach(freeBuffer);
  const inflated = decompress([data], compression);
  try {
    for (;;) {
      const { done, value } = await inflated.next().catch((error: unknown) => {
        throw damaged(error);
      });
      if (done) return;
      yield value;
      freeBuffer(value);
    }
  } finally {
    await inflated.return(undefined);
    freeBuffer(data);
  }
}
