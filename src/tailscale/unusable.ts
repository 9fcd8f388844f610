/** Why the body of an answer cannot be used. Each message is a part of a sentence. */

/** The answer is none of the API's. */
export class MalformedAnswer extends Error {
  override readonly name = "MalformedAnswer";
}

/** More came than was asked for. */
export class AnswerTooLarge extends Error {
  override readonly name = "AnswerTooLarge";
  constructor(maxBytes: number) {
    super(`the answer is larger than ${maxBytes} bytes`);
  }
}

/** What the caller threw while it was given records, as the cause: its own affair, neither judged nor repeated. */
export class CallerFailed extends Error {
  override readonly name = "CallerFailed";
}
