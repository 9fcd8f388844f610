/**
 * Reads an answer of the log while it comes in, `{"logs":[…]|null,…}`, and gives the texts of its records on, some at a time.
 * What is held is one such part, one record and one piece of the body, however large the answer is.
 */
import { LogAnswerParser } from "./log-answer-parser.ts";
import type { LogsAnswer, ReadLogsOptions } from "./types.ts";
import { AnswerTooLarge, CallerFailed } from "./unusable.ts";

/** Text that is given on at a time; the last part may be smaller, and one record larger. */
const partBytes = 1024 * 1024;

/** A piece of the body that is looked through without giving anything on. */
const pieceBytes = 256 * 1024;

/**
 * Reads the body to its end. A record's text is cut out by depth and strings: whoever parses it judges what is inside.
 * `onRecords` is waited for before more is read.
 * @throws {MalformedAnswer} torn, followed by something else, not UTF-8, or another shape
 * @throws {AnswerTooLarge} past `maxBytes`
 * @throws {CallerFailed} what `onRecords` threw is its cause
 * @throws whatever reading the body throws
 */
export async function readLogAnswer(
  body: AsyncIterable<Uint8Array>,
  { maxBytes, onRecords }: Pick<ReadLogsOptions, "maxBytes" | "onRecords">,
): Promise<LogsAnswer> {
  let bytes = 0;
  let records = 0;
  const parser = new LogAnswerParser();
  const give = async (): Promise<void> => {
    const texts = parser.take();
    if (texts.length === 0) return;
    records += texts.length;
    try {
      await onRecords(texts);
    } catch (cause) {
      throw new CallerFailed("the records were not taken", { cause });
    }
  };
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new AnswerTooLarge(maxBytes);
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      parser.push(chunk.subarray(at, at + pieceBytes));
      if (parser.pendingBytes >= partBytes) await give();
    }
  }
  parser.end();
  await give();
  return { bytes, records };
}
