/**
 * The bound of every text that leaves: attributes, bodies and metric labels. Texts come out as well-formed Unicode, are cut
 * between characters, and each cut is counted.
 */
import type { AttributeValue, LogAttributes, LogEvent } from "../catalogue/log-event.ts";

/** Bytes of UTF-8 that a text attribute of a log record may have, and the texts of a list together. */
export const maxAttributeBytes = 4096;
/** … the body of a log record. */
export const maxBodyBytes = 32_768;
/** … an attribute value of a metric. */
export const maxLabelBytes = 256;

const mark = "…[truncated]";
const encoder = new TextEncoder();
const markBytes = encoder.encode(mark).length;
const room = new Uint8Array(1 << 16);

let truncatedTexts = 0;

/** How many texts have been cut in this thread since the last call. */
export function takeTruncatedTexts(): number {
  const taken = truncatedTexts;
  truncatedTexts = 0;
  return taken;
}

/**
 * The text, or its longest beginning that fits `maxBytes` of UTF-8 (at most 64 KiB) together with the mark `…[truncated]`.
 * A lone surrogate becomes U+FFFD, since UTF-8 cannot say it.
 */
export function boundedText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text.toWellFormed();
  // One more unit than can fit is enough to see that it does not.
  const whole = text.slice(0, maxBytes + 1).toWellFormed();
  if (text.length <= maxBytes && encoder.encodeInto(whole, room.subarray(0, maxBytes)).read === whole.length)
    return whole;
  truncatedTexts++;
  const { read } = encoder.encodeInto(whole, room.subarray(0, maxBytes - markBytes));
  return whole.slice(0, read) + mark;
}

/** An attribute value of a metric. */
export function boundedLabel(text: string): string {
  return boundedText(text, maxLabelBytes);
}

/** Every text of the attributes under its bound; usually they are that already. */
export function boundedAttributes(attributes: LogAttributes): LogAttributes {
  for (const name in attributes) if (!isSurelyBounded(attributes[name])) return cutAttributes(attributes);
  return attributes;
}

function isSurelyBounded(value: AttributeValue | undefined): boolean {
  if (typeof value === "string") return value.length * 3 <= maxAttributeBytes && value.isWellFormed();
  return typeof value !== "object";
}

function cutAttributes(attributes: LogAttributes): LogAttributes {
  const bounded: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "string") bounded[name] = boundedText(value, maxAttributeBytes);
    else if (typeof value !== "object") bounded[name] = value;
    else {
      const texts = boundedList(value);
      if (texts.length > 0) bounded[name] = texts;
    }
  }
  return bounded;
}

/** A log event with all its texts under their bounds. */
export function boundedEvent(event: LogEvent): LogEvent {
  return {
    ...event,
    name: event.name.toWellFormed(),
    body: boundedText(event.body, maxBodyBytes),
    attributes: boundedAttributes(event.attributes),
  };
}

/** The first texts of a list, as many as fit together. */
function boundedList(texts: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let left = maxAttributeBytes;
  for (const text of texts) {
    const wellFormed = text.toWellFormed();
    left -= Buffer.byteLength(wellFormed);
    if (left < 0) {
      truncatedTexts++;
      break;
    }
    kept.push(wellFormed);
  }
  return kept;
}
