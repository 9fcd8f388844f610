/** Decompresses gzip and zstd in pieces, all members of the input, and throws if the input is damaged or truncated. */
import { Buffer } from "node:buffer";
import { Readable, type Transform } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from "node:zlib";
import { runtimeName } from "./process.ts";
import { announcedContentBytes, zstdFrames } from "./zstd-frames.ts";

export type Compression = "gzip" | "zstd";

/** Bodies up to this size are decompressed in one call if at most `maxInflatedAtOnce` results: typically 24 KB hold 160 KB. */
const maxBytesAtOnce = 256 * 1024;
const maxInflatedAtOnce = 1024 * 1024;
const inflatedAtOnceOptions = { maxOutputLength: maxInflatedAtOnce, chunkSize: 256 * 1024 };

/** Input per step. The runtime yields pieces of at most 64 KiB, or of the size of the input. */
const feedBytes = 64 * 1024;

/**
 * Decompresses the chunks of one body lazily, in pieces of 64 KiB, so that a reader that stops also stops the work.
 * @throws if the input is damaged, truncated, or followed by something else. @throws {WindowTooLarge | TooManyFrames}
 */
export async function* decompress(chunks: readonly Uint8Array[], compression: Compression): AsyncGenerator<Uint8Array> {
  const frames = compression === "zstd" ? await framesOf(joined(chunks)) : undefined;
  if (frames?.length === 0) throw new TypeError("no zstd frame");
  if (runtimeName === "bun") yield* inflate(frames ?? chunks, compression);
  else if (frames === undefined) yield* through(createGunzip(), chunks);
  // Deno's own streams do not support zstd, and read only one gzip member.
  else for (const frame of frames) yield* through(createZstdDecompress(), [frame]);
}

/**
 * Decompresses a small body of one gzip member or zstd frame without a stream, and returns it with that frame. `undefined` if it
 * is larger, has several of them, or is unusual in any way: `decompress` then handles it.
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

/** All frames, which are few. Their blocks may be many, so other work may run while they are walked. */
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
 * `node:zlib` accepts a truncated frame without an error and ignores later ones, so there must be exactly one frame, up to the
 * last byte. Bun's own function allocates exactly what the frame announces.
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
    // Afterwards the chunks belong to the caller again.
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
