/**
 * The maximum length of every text that is sent: attributes, log bodies and metric attributes. Texts are made well-formed
 * Unicode and cut between characters; every cut is counted.
 */
import { type AttributeValue, type LogAttributes, type LogEvent, presentAttributes } from "../catalogue/log-event.ts";

/** Maximum bytes (UTF-8) of a text attribute of a log record, and of all texts of a list together. */
export const maxAttributeBytes = 4096;
/** Maximum bytes of the body of a log record. */
export const maxBodyBytes = 32_768;
/** Maximum bytes of an attribute value of a metric. */
export const maxLabelBytes = 256;

const mark = "…[truncated]";
const encoder = new TextEncoder();
const markBytes = encoder.encode(mark).length;
const room = new Uint8Array(1 << 16);

let truncatedTexts = 0;

/** Texts cut in this thread since the last call. */
export function takeTruncatedTexts(): number {
  const taken = truncatedTexts;
  truncatedTexts = 0;
  return taken;
}

/**
 * The text, or its longest prefix that fits `maxBytes` of UTF-8 (at most 64 KiB) together with the mark `…[truncated]`.
 * A lone surrogate, which UTF-8 cannot encode, becomes U+FFFD.
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

/** The attributes with every text cut to its maximum; usually none needs it. */
export function boundedAttributes(attributes: LogAttributes): LogAttributes {
  for (const name in attributes) if (!isSurelyBounded(attributes[name])) return cutAttributes(attributes);
  return attributes;
}

function isSurelyBounded(value: AttributeValue | undefined): boolean {
  if (typeof value === "string") return value.length * 3 <= maxAttributeBytes && value.isWellFormed();
  return typeof value !== "object";
}

function cutAttributes(attributes: LogAttributes): LogAttributes {
  const cut = Object.entries(attributes).map(([name, value]) => {
    if (typeof value === "string") return [name, boundedText(value, maxAttributeBytes)] as const;
    return [name, typeof value === "object" ? boundedList(value) : value] as const;
  });
  return presentAttributes(Object.fromEntries(cut));
}

/** The event with all its texts cut to their maximum. */
export function boundedEvent(event: LogEvent): LogEvent {
  return {
    ...event,
    name: event.name.toWellFormed(),
    body: boundedText(event.body, maxBodyBytes),
    attributes: boundedAttributes(event.attributes),
  };
}

/** The first texts of a list that fit together. */
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
