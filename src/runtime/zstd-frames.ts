/**
 * The frames of zstd data (RFC 8878, section 3.1): where they end, since `node:zlib` stops after the first one and accepts a
 * truncated one, and how much memory they need.
 */

/** The largest window that a decoder of HTTP bodies has to support (RFC 9659): it is allocated before anything is inflated. */
export const maxWindowBytes = 8 * 1024 * 1024;

/** A frame needs a larger window. */
export class WindowTooLarge extends Error {
  constructor(bytes: number) {
    super(
      `the zstd data needs a window of ${bytes} bytes, more than ${maxWindowBytes} (no setting changes this limit)`,
    );
  }
}

/**
 * The frames with content, each whole.
 * @throws {TypeError} if the data ends inside a frame, or goes on with something else. @throws {WindowTooLarge}
 */
export function zstdFrames(data: Uint8Array): Uint8Array[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const frames: Uint8Array[] = [];
  let at = 0;
  try {
    while (at < data.byteLength) {
      const magic = view.getUint32(at, true);
      const isSkippable = magic >= firstSkippableMagic && magic <= lastSkippableMagic;
      const end = isSkippable ? at + 8 + view.getUint32(at + 4, true) : endOfFrame(view, at, magic);
      if (end > data.byteLength) throw new RangeError("past the end");
      if (!isSkippable) frames.push(data.subarray(at, end));
      at = end;
    }
  } catch (error) {
    if (error instanceof RangeError) throw new TypeError("the zstd data ends inside a frame", { cause: error });
    throw error;
  }
  return frames;
}

/** How much a whole frame says that it holds; absent if it does not. */
export function announcedContentBytes(frame: Uint8Array): number | undefined {
  return readHeader(new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0).contentBytes;
}

const frameMagic = 0xfd2fb528;
const firstSkippableMagic = 0x184d2a50;
const lastSkippableMagic = 0x184d2a5f;

/** Reading past the end throws a RangeError. */
function endOfFrame(view: DataView, start: number, magic: number): number {
  if (magic !== frameMagic) throw new TypeError("not zstd data");
  const { windowBytes, hasChecksum, end } = readHeader(view, start);
  if (windowBytes > maxWindowBytes) throw new WindowTooLarge(windowBytes);
  let at = end;
  for (;;) {
    const header = view.getUint8(at) | (view.getUint8(at + 1) << 8) | (view.getUint8(at + 2) << 16);
    const isRepeatedByte = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeatedByte ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  return at + (hasChecksum ? 4 : 0);
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

/** A window's size: exponent and mantissa. */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}
