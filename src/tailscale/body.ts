/** Reads the body of an answer into a text under a bound. */
import { AnswerTooLarge, MalformedAnswer } from "./unusable.ts";

/**
 * The whole text.
 * @throws {AnswerTooLarge} past `maxBytes`, decompressed
 * @throws {MalformedAnswer} when it is not UTF-8
 * @throws whatever reading throws: a reset, the deadline
 */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parts: string[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new AnswerTooLarge(maxBytes);
    parts.push(decoded(decoder, chunk));
  }
  parts.push(decoded(decoder, undefined));
  return parts.join("");
}

/** `undefined` is the end. */
function decoded(decoder: TextDecoder, chunk: Uint8Array | undefined): string {
  try {
    return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
  } catch {
    throw new MalformedAnswer("it is not UTF-8");
  }
}
