/** A body's bytes as slices of text: inflated while they are read, and decoded strictly. */
import { Buffer } from "node:buffer";
import { Refusal } from "../../errors.ts";
import type { Body } from "../../http/body.ts";
import { type Compression, decompress } from "../../runtime/decompress.ts";
import { StrictDecoder } from "./strict-decoder.ts";

/** One slice is worked on without a pause, about 10 ms. A typical request is 160 KB. */
const defaultSliceBytes = 256 * 1024;

export interface SliceOptions {
  /** Told of every piece that comes out of a compressed body before it is used; may throw. */
  onInflated(bytes: number): void;
  readonly sliceBytes?: number | undefined;
}

/**
 * The text, in slices that end between characters, without a byte order mark.
 * @throws {Refusal} `unparsable` where compression or UTF-8 is damaged; but only after all text before that place was
 * given and the rest was inflated, so that a body over its limit is told so whatever it holds.
 */
export async function* textSlices(
  body: Body,
  compression: Compression | undefined,
  { onInflated, sliceBytes = defaultSliceBytes }: SliceOptions,
): AsyncGenerator<string> {
  const decoder = new StrictDecoder();
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let damage: Refusal | undefined;
  const pieces = compression === undefined ? usedUp(body.chunks) : inflated(body, compression, onInflated);
  try {
    for await (const piece of pieces) {
      if (decoder.isDamaged) continue;
      for (let at = 0; at < piece.byteLength; at += sliceBytes) {
        const part = piece.subarray(at, at + sliceBytes);
        held.push(part);
        heldBytes += part.byteLength;
        if (heldBytes < sliceBytes) continue;
        yield decoder.decode(Buffer.concat(held, heldBytes));
        held = [];
        heldBytes = 0;
      }
    }
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    damage = error;
  }
  yield decoder.end(Buffer.concat(held, heldBytes));
  if (decoder.isDamaged) throw new Refusal("unparsable", "invalid UTF-8");
  if (damage !== undefined) throw damage;
}

/** Lets go of each chunk once it has been used: a large body is not kept beside its text. */
function* usedUp(chunks: Uint8Array[]): Generator<Uint8Array> {
  for (let at = 0; at < chunks.length; at++) {
    const chunk = chunks[at] ?? nothing;
    chunks[at] = nothing;
    yield chunk;
  }
}

const nothing = new Uint8Array(0);

async function* inflated(
  body: Body,
  compression: Compression,
  onInflated: SliceOptions["onInflated"],
): AsyncGenerator<Uint8Array> {
  const pieces = decompress(body.chunks, compression);
  try {
    for (;;) {
      const { done, value } = await pieces.next().catch(damaged);
      if (done) return;
      onInflated(value.byteLength);
      yield value;
    }
  } finally {
    await pieces.return(undefined);
  }
}

function damaged(): never {
  throw new Refusal("unparsable", "damaged compression");
}
