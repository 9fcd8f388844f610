/** A reader that may be asked several things at once: it asks the one behind it for them one after another. */
import type { Awaitable, JournalReader } from "./journal.ts";

/** The same reader with a queue. What can be answered at once is. */
export function inQueue(reader: JournalReader): JournalReader {
  /** Settles once nothing is under way any more; absent if nothing is. */
  let last: Promise<unknown> | undefined;

  function ask<Answer>(question: () => Awaitable<Answer>): Awaitable<Answer> {
    const answer = last === undefined ? question() : last.then(question);
    if (!(answer instanceof Promise)) return answer;
    const mine: Promise<unknown> = answer
      .catch(() => undefined)
      .then(() => {
        if (last === mine) last = undefined;
      });
    last = mine;
    return answer;
  }

  return {
    read: (...given) => ask(() => reader.read(...given)),
    heads: (...given) => ask(() => reader.heads(...given)),
    marks: (...given) => ask(() => reader.marks(...given)),
    close: () => reader.close(),
  };
}
