/** Inflates piece by piece, all members of the input, with an error where the input is damaged or ends too early. */
import { Buffer } from "node:buffer";
import { Readable, type Transform } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from "node:zlib";
import { runtimeName } from "./process.ts";
import { announcedContentBytes, zstdFrames } from "./zstd-frames.ts";

export type Compression = "gzip" | "zstd";

/** Bodies up to this size that inflate to at most `maxInflatedAtOnce` are inflated in one call: a typical request is 24 KB and holds 160 KB. */
const maxBytesAtOnce = 256 * 1024;
const maxInflatedAtOnce = 1024 * 1024;
const inflatedAtOnceOptions = { maxOutputLength: maxInflatedAtOnce, chunkSize: 256 * 1024 };

/** Input per step. The runtime's pieces are at most 64 KiB, or the size of the input. */
const feedBytes = 64 * 1024;

/**
 * Inflates the chunks of one body lazily, in pieces of 64 KiB, so that a reader that stops also stops the work.
 * @throws if the input is damaged, ends too early, or goes on with something else. @throws {WindowTooLarge | TooManyFrames}
 */
export async function* decompress(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  const frames = compression === "zstd" ? await framesOf(joined(chunks)) : undefined;
  if (frames?.length === 0) throw new TypeError("no zstd frame");
  if (runtimeName === "bun") yield* inflate(frames ?? chunks, compression);
  else if (frames === undefined) yield* through(createGunzip(), chunks);
  // Deno's own streams know no zstd, and take one member of gzip only.
  else for (const frame of frames) yield* through(createZstdDecompress(), [frame]);
}

/**
 * A small body of one gzip member or zstd frame, inflated without a stream, with that frame. Nothing if it is larger, has
 * several of them, or anything is odd about it: `decompress` then judges it.
 */
export function decompressAtOnce(
  chunks: readonly Uint8Array[],
  compression: Compression,
): { readonly frame: Uint8Array; readonly content: Uint8Array } | undefined {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.byteLength;
  if (bytes > maxBytesAtOnce) return undefined;
  const frame = joined(chunks);
  try {
    const content = compression === "gzip" ? inflatedMember(frame) : inflatedFrame(frame);
    return content && { frame, content };
  } catch {
    return undefined;
  }
}

/** All frames, which are few; their blocks may be many, and are walked in turns with other work. */
async function framesOf(data: Uint8Array): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for (const frame of zstdFrames(data))
    if (frame === undefined) await setImmediate();
    else frames.push(frame);
  return frames;
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [first, ...more] = chunks;
  return first === undefined || more.length > 0 ? Buffer.concat(chunks) : first;
}

/** The trailer of a member ends with the length of its content (RFC 1952, 2.3.1), which later members or garbage do not match. */
function inflatedMember(data: Uint8Array): Uint8Array | undefined {
  const content = gunzipSync(data, inflatedAtOnceOptions);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return view.getUint32(data.byteLength - 4, true) === content.byteLength ? content : undefined;
}

/**
 * `node:zlib` accepts a truncated frame without an error, and ignores later ones: there must be exactly one, to the
 * last byte. The runtime's own function allocates exactly what the frame announces.
 */
function inflatedFrame(data: Uint8Array): Uint8Array | undefined {
  const [frame, second] = zstdFrames(data);
  if (frame === undefined || second !== undefined || frame.byteLength < data.byteLength) return undefined;
  const announced = runtimeName === "bun" ? announcedContentBytes(frame) : undefined;
  if (announced === undefined) return zstdDecompressSync(frame, inflatedAtOnceOptions);
  return announced <= maxInflatedAtOnce ? Bun.zstdDecompressSync(frame as Uint8Array<ArrayBuffer>) : undefined;
}

async function* inflate(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream(compression as CompressionFormat);
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const feeding = feed(writer, chunks);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
    // The chunks are the caller's again once this has ended.
    await feeding;
  }
}

async function feed(writer: WritableStreamDefaultWriter<BufferSource>, chunks: readonly Uint8Array[]): Promise<void> {
  try {
    for (const chunk of chunks)
      for (let at = 0; at < chunk.byteLength; at += feedBytes)
        await writer.write(chunk.subarray(at, at + feedBytes) as Uint8Array<ArrayBuffer>);
    await writer.close();
  } catch {
    // The reader gets the same error.
  }
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
