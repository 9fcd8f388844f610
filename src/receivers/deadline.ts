/** Answers in time, whatever the work does. */
import { Unavailable } from "../errors.ts";

/**
 * The work's result, or `Unavailable` when it takes longer. Late work goes on to its next check: it may still commit,
 * which is no harm, since the sender's retry is then a duplicate.
 */
export async function withinDeadline<Result>(
  timeoutMs: number,
  work: (checkDeadline: () => void) => Promise<Result>,
): Promise<Result> {
  let isLate = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(tooLong(timeoutMs));
    }, timeoutMs);
  });
  const working = work(() => {
    if (isLate) throw tooLong(timeoutMs);
  });
  try {
    return await Promise.race([working, late]);
  } finally {
    clearTimeout(timer);
    if (isLate) working.catch(alreadyAnswered);
  }
}

function tooLong(timeoutMs: number): Unavailable {
  return new Unavailable(`a request could not be committed within ${timeoutMs} ms`);
}

function alreadyAnswered(): void {}
