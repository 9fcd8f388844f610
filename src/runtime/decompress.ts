/** Inflates piece by piece, all members of the input, with an error where the input is damaged or ends too early. */
import { Buffer } from "node:buffer";
import { Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { runtimeName } from "./name.ts";
import { zstdFrames } from "./zstd-frames.ts";

export type Compression = "gzip" | "zstd";

/**
 * What the chunks of one body inflate to, in pieces that are small however much they hold (64 KiB, or the size of the
 * input where that is larger); the next is made when it is asked for, so whoever stops reading stops the work.
 * @throws when the input is damaged, ends too early, or goes on with something else.
 */
export function decompress(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  return runtimeName === "deno" ? inflateWithZlib(chunks, compression) : inflate(chunks, compression);
}

async function* inflate(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream(compression as CompressionFormat);
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  void feed(writer, chunks);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(ignore);
  }
}

async function feed(writer: WritableStreamDefaultWriter<BufferSource>, chunks: readonly Uint8Array[]): Promise<void> {
  try {
    for (const chunk of chunks) await writer.write(chunk as Uint8Array<ArrayBuffer>);
    await writer.close();
  } catch {
    // The reader gets the same error.
  }
}

function ignore(): void {}

/** Deno's own streams know no zstd, and take one member of gzip only. */
async function* inflateWithZlib(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  if (compression === "gzip") {
    yield* through(createGunzip(), chunks);
    return;
  }
  const frames = zstdFrames(Buffer.concat(chunks));
  if (frames.length === 0) throw new TypeError("no zstd frame");
  for (const frame of frames) yield* through(createZstdDecompress(), [frame]);
}

async function* through(inflater: Transform, chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  const source = Readable.from(chunks);
  source.on("error", (error) => inflater.destroy(error));
  source.pipe(inflater);
  try {
    for await (const piece of inflater) yield piece as Uint8Array;
  } finally {
    source.destroy();
    inflater.destroy();
  }
}
