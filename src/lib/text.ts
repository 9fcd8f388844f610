/** Text under a bound. */

const encoder = new TextEncoder();
const mark = "…[truncated]";

/** The text, or its longest beginning whose UTF-8 together with a mark fits `maxBytes`, never half a character. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || encoder.encode(text).length <= maxBytes) return text;
  const room = new Uint8Array(Math.max(0, maxBytes - encoder.encode(mark).length));
  const { read } = encoder.encodeInto(text, room);
  return text.slice(0, read) + mark;
}
