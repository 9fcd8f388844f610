/** Reads the serials of log records from OTLP requests in both encodings, cheaply and independently of every encoder. */

/** The attribute that tells log records apart. */
const serialAttribute = "tailscale.tx.bytes";
const serialKey = new TextEncoder().encode(serialAttribute);
const decoder = new TextDecoder();

/** Calls back for every log record with its serial, or -1 if it has none. */
export function eachSerial(body: Uint8Array, isJson: boolean, visit: (serial: number) => void): void {
  if (isJson) eachJsonSerial(body, visit);
  else eachProtobufSerial(body, visit);
}

interface JsonLogRecord {
  readonly attributes?: readonly { readonly key: string; readonly value: { readonly intValue?: string | number } }[];
}

interface JsonLogs {
  readonly resourceLogs?: readonly {
    readonly scopeLogs?: readonly { readonly logRecords?: readonly JsonLogRecord[] }[];
  }[];
}

function eachJsonSerial(body: Uint8Array, visit: (serial: number) => void): void {
  const request = JSON.parse(decoder.decode(body)) as JsonLogs;
  for (const { scopeLogs = [] } of request.resourceLogs ?? []) {
    for (const { logRecords = [] } of scopeLogs) {
      for (const { attributes = [] } of logRecords)
        visit(Number(attributes.find(({ key }) => key === serialAttribute)?.value.intValue ?? -1));
    }
  }
}

/** Field numbers: opentelemetry/proto/logs/v1/logs.proto and common/v1/common.proto. */
function eachProtobufSerial(body: Uint8Array, visit: (serial: number) => void): void {
  const [resourceLogs, scopeLogs, logRecords] = [new Fields(body), new Fields(body), new Fields(body)];
  const [attributes, parts] = [new Fields(body), new Fields(body)];
  resourceLogs.open(0, body.byteLength);
  while (resourceLogs.nextBytes(1)) {
    scopeLogs.open(resourceLogs.from, resourceLogs.to);
    while (scopeLogs.nextBytes(2)) {
      logRecords.open(scopeLogs.from, scopeLogs.to);
      while (logRecords.nextBytes(2)) {
        attributes.open(logRecords.from, logRecords.to);
        visit(serialOf(attributes, parts));
      }
    }
  }
}

function serialOf(attributes: Fields, parts: Fields): number {
  while (attributes.nextBytes(6)) {
    parts.open(attributes.from, attributes.to);
    if (!parts.nextBytes(1) || !parts.equals(serialKey) || !parts.nextBytes(2)) continue;
    parts.open(parts.from, parts.to);
    while (parts.next()) if (parts.number === 3) return parts.value;
  }
  return -1;
}

/** Iterates over the fields of a message without allocating. */
class Fields {
  readonly #bytes: Uint8Array;
  #at = 0;
  #end = 0;
  number = 0;
  /** The value of a varint; exact below 2⁵³. */
  value = 0;
  /** Range of the field's bytes, if it is not a varint. */
  from = 0;
  to = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  open(from: number, to: number): void {
    this.#at = from;
    this.#end = to;
  }

  /** Advances to the next field; false if there is none. @throws {RangeError} if the bytes are not a message. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    const wireType = tag & 7;
    this.number = tag >>> 3;
    const bytes = wireType === 2 ? this.#varint() : wireType === 1 ? 8 : wireType === 5 ? 4 : 0;
    if (wireType === 0) this.value = this.#varint();
    this.from = this.#at;
    this.to = this.#at += bytes;
    if (this.to > this.#end) throw new RangeError("a field is longer than its message");
    return true;
  }

  nextBytes(number: number): boolean {
    while (this.next()) if (this.number === number) return true;
    return false;
  }

  equals(expected: Uint8Array): boolean {
    if (this.to - this.from !== expected.byteLength) return false;
    for (let index = 0; index < expected.byteLength; index++)
      if (this.#bytes[this.from + index] !== expected[index]) return false;
    return true;
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 63; factor *= 128) {
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new RangeError("a varint is longer than ten bytes");
  }
}
