/**
 * Finds the frames of zstd data (RFC 8878, section 3.1) and the memory they need, because `node:zlib` stops after the first frame
 * and accepts a truncated one.
 */

/** The largest window that a decoder of HTTP bodies has to support (RFC 9659); it is allocated before decompression starts. */
export const maxWindowBytes = 8 * 1024 * 1024;

/** A frame needs a larger window. */
export class WindowTooLarge extends Error {
  constructor(bytes: number) {
    super(
      `the zstd data needs a window of ${bytes} bytes, more than ${maxWindowBytes} (no setting changes this limit)`,
    );
  }
}

/** Maximum number of frames in a body, including skippable ones: starting one costs as much as kilobytes of content. */
export const maxFrames = 10_000;

/** There are more than `maxFrames`. */
export class TooManyFrames extends Error {
  constructor() {
    super(`More than ${maxFrames} frames in one zstd body (no setting changes this limit)`);
  }
}

/** Blocks walked between two pauses: 1 ms or less. */
const blocksPerPause = 64 * 1024;

/**
 * Yields each complete frame with content, found lazily, and `undefined` where the walk may pause.
 * @throws {TypeError} if the data ends inside a frame, or continues with something else.
 * @throws {WindowTooLarge | TooManyFrames}
 */
export function* zstdFrames(data: Uint8Array): Generator<Uint8Array | undefined> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let frames = 0;
  let blocks = 0;
  let at = 0;
  try {
    while (at < data.byteLength) {
      if (++frames > maxFrames) throw new TooManyFrames();
      const start = at;
      const magic = view.getUint32(at, true);
      const isSkippable = magic >= firstSkippableMagic && magic <= lastSkippableMagic;
      if (isSkippable) at += 8 + view.getUint32(at + 4, true);
      else {
        const { end, hasChecksum } = readFrameHeader(view, at, magic);
        at = end;
        for (let isLast = false; !isLast;) {
          const header = view.getUint8(at) | (view.getUint8(at + 1) << 8) | (view.getUint8(at + 2) << 16);
          const isRepeatedByte = ((header >> 1) & 3) === 1;
          at += 3 + (isRepeatedByte ? 1 : header >> 3);
          isLast = (header & 1) === 1;
          if (++blocks % blocksPerPause === 0) yield undefined;
        }
        if (hasChecksum) at += 4;
      }
      if (at > data.byteLength) throw new RangeError("past the end");
      if (!isSkippable) yield data.subarray(start, at);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new TypeError("the zstd data ends inside a frame", { cause: error });
    throw error;
  }
}

/** The content size that a complete frame announces, if it does. */
export function announcedContentBytes(frame: Uint8Array): number | undefined {
  return readHeader(new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0).contentBytes;
}

const frameMagic = 0xfd2fb528;
const firstSkippableMagic = 0x184d2a50;
const lastSkippableMagic = 0x184d2a5f;

/** Reading past the end throws a RangeError. */
function readFrameHeader(view: DataView, start: number, magic: number) {
  if (magic !== frameMagic) throw new TypeError("not zstd data");
  const header = readHeader(view, start);
  if (header.windowBytes > maxWindowBytes) throw new WindowTooLarge(header.windowBytes);
  return header;
}

/** The header of a frame (section 3.1.1.1): descriptor, window, dictionary id, content size. */
function readHeader(view: DataView, start: number) {
  const descriptor = view.getUint8(start + 4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeAt = start + (isSingleSegment ? 5 : 6) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const { bytes, contentBytes } = readContentSize(view, sizeAt, descriptor >> 6, isSingleSegment);
  return {
    contentBytes,
    windowBytes: isSingleSegment ? (contentBytes ?? 0) : windowOf(view.getUint8(start + 5)),
    hasChecksum: (descriptor & 4) !== 0,
    end: sizeAt + bytes,
  };
}

function readContentSize(view: DataView, at: number, flag: number, isSingleSegment: boolean) {
  switch (flag) {
    case 0:
      return isSingleSegment ? { bytes: 1, contentBytes: view.getUint8(at) } : { bytes: 0, contentBytes: undefined };
    case 1:
      return { bytes: 2, contentBytes: view.getUint16(at, true) + 256 };
    case 2:
      return { bytes: 4, contentBytes: view.getUint32(at, true) };
    default:
      return { bytes: 8, contentBytes: Number(view.getBigUint64(at, true)) };
  }
}

/** Decodes a window size from exponent and mantissa. */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}
