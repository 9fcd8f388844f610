/**
 * Finds where the frames of zstd data end (RFC 8878, section 3.1). `node:zlib` stops after the first frame and accepts
 * a truncated one, so in Deno each frame is cut out first.
 */

/**
 * The frames with content, each whole.
 * @throws {TypeError} where the data ends inside a frame, or goes on with something else.
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

/** How much a whole frame says that it holds (section 3.1.1.1.4); absent if it does not. */
export function announcedContentBytes(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const { isSingleSegment, sizeFlag, dictionaryBytes } = readDescriptor(view.getUint8(4));
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  switch (sizeFlag) {
    case 0:
      return isSingleSegment ? view.getUint8(at) : undefined;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

const frameMagic = 0xfd2fb528;
const firstSkippableMagic = 0x184d2a50;
const lastSkippableMagic = 0x184d2a5f;

/** Bytes of the dictionary id and of the content size, by their flags. */
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

/** Reading past the end throws a RangeError. */
function endOfFrame(view: DataView, start: number, magic: number): number {
  if (magic !== frameMagic) throw new TypeError("not zstd data");
  const { isSingleSegment, sizeFlag, dictionaryBytes, hasChecksum } = readDescriptor(view.getUint8(start + 4));
  const windowBytes = isSingleSegment ? 0 : 1;
  const sizeBytes = isSingleSegment && sizeFlag === 0 ? 1 : (contentSizeBytes[sizeFlag] ?? 0);
  let at = start + 5 + windowBytes + dictionaryBytes + sizeBytes;
  for (;;) {
    const header = view.getUint8(at) | (view.getUint8(at + 1) << 8) | (view.getUint8(at + 2) << 16);
    const isRepeatedByte = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeatedByte ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  return at + (hasChecksum ? 4 : 0);
}

/** The frame header's descriptor (section 3.1.1.1.1). */
function readDescriptor(descriptor: number) {
  return {
    sizeFlag: descriptor >> 6,
    isSingleSegment: (descriptor & 0x20) !== 0,
    hasChecksum: (descriptor & 4) !== 0,
    dictionaryBytes: dictionaryIdBytes[descriptor & 3] ?? 0,
  };
}
