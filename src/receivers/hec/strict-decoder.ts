/** Decodes UTF-8 in slices. At the first byte that is none it stops, and knows the text up to there. */
import { Buffer } from "node:buffer";

export class StrictDecoder {
  /** The bytes so far are no UTF-8. What follows gives no text. */
  isDamaged = false;

  /** Bytes that begin a character, at the end of what was decoded. */
  #unfinished: Uint8Array = new Uint8Array(0);
  #isAtStart = true;

  /** The text of these bytes and those kept back before, up to damage, or to a character that is not complete. */
  decode(bytes: Uint8Array): string {
    if (this.isDamaged) return "";
    const all = this.#unfinished.byteLength === 0 ? bytes : Buffer.concat([this.#unfinished, bytes]);
    const whole = all.byteLength - unfinishedBytes(all);
    this.#unfinished = all.subarray(whole);
    return this.#text(all.subarray(0, whole));
  }

  /** The last text. A character that is not complete is damage. */
  end(bytes: Uint8Array): string {
    const text = this.decode(bytes);
    if (this.#unfinished.byteLength > 0) this.isDamaged = true;
    return text;
  }

  #text(bytes: Uint8Array): string {
    const text = this.#decodeStrictly(bytes);
    if (!this.#isAtStart || text === "") return text;
    this.#isAtStart = false;
    return text.startsWith("\uFEFF") ? text.slice(1) : text;
  }

  #decodeStrictly(bytes: Uint8Array): string {
    try {
      return strict.decode(bytes);
    } catch {
      this.isDamaged = true;
      return strict.decode(bytes.subarray(0, validBytes(bytes)));
    }
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How many bytes of damaged text are whole characters before the damage. */
function validBytes(bytes: Uint8Array): number {
  let low = 0;
  let high = bytes.byteLength;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (isBeginningOfText(bytes.subarray(0, middle))) low = middle;
    else high = middle - 1;
  }
  return low - unfinishedBytes(bytes.subarray(0, low));
}

function isBeginningOfText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Bytes at the end that begin a character whose other bytes are not there: 0 to 3. */
function unfinishedBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.byteLength; back++) {
    const byte = bytes[bytes.byteLength - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > back ? back : 0;
  }
  return 0;
}
