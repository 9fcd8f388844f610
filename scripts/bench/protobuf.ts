/** Reads protobuf messages field by field, as far as OTLP requests need it; independent of every encoder. */

export type Field =
  | { readonly number: number; readonly kind: "varint"; readonly value: bigint }
  | {
      readonly number: number;
      readonly kind: "fixed64";
      readonly view: DataView;
    }
  | {
      readonly number: number;
      readonly kind: "bytes";
      readonly bytes: Uint8Array;
    };

/** The fields of one message, in order. @throws {RangeError} when the bytes are no message. */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let offset = 0;

  function varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = view.getUint8(offset++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("a varint is longer than ten bytes");
  }

  while (offset < message.byteLength) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        yield { number, kind: "varint", value: varint() };
        break;
      case 1:
        yield {
          number,
          kind: "fixed64",
          view: new DataView(message.buffer, message.byteOffset + offset, 8),
        };
        offset += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (offset + length > message.byteLength) throw new RangeError("a field is longer than its message");
        yield {
          number,
          kind: "bytes",
          bytes: message.subarray(offset, offset + length),
        };
        offset += length;
        break;
      }
      case 5:
        offset += 4;
        break;
      default:
        throw new RangeError(`wire type ${tag & 7} at byte ${offset}`);
    }
  }
}

/** The nested messages of one field. */
export function* messagesOf(message: Uint8Array, number: number): Generator<Uint8Array> {
  for (const field of fieldsOf(message)) {
    if (field.number === number && field.kind === "bytes") yield field.bytes;
  }
}

const text = new TextDecoder();

/** The text of the last field of that number, or nothing. */
export function textOf(message: Uint8Array, number: number): string {
  let found = "";
  for (const bytes of messagesOf(message, number)) found = text.decode(bytes);
  return found;
}
