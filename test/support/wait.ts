/** Waits for conditions instead of fixed times, so that tests do not fail on a slow or busy machine. */
import { setTimeout as sleep } from "node:timers/promises";

/** For the test runner: a test that hangs fails, but one that is slow on a busy machine does not. */
export const timeoutMs = 240_000;

/** The same for tests that take a quarter of a minute on an idle machine. */
export const longTimeoutMs = 2 * timeoutMs;

/** Resolves once the condition holds. The test's own timeout bounds the wait. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

/**
 * For checking that something does not happen, for which there is no condition. Waiting too short can miss a fault, but never
 * report a false one.
 */
export function aWhile(): Promise<void> {
  return sleep(50);
}
