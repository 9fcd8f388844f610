/** How tests wait: for a condition, never for a time, so that a slow or busy machine fails none of them. */
import { setTimeout as sleep } from "node:timers/promises";

/** For the runner: a test that hangs fails; one that is slow on a busy machine does not. */
export const timeoutMs = 240_000;

/** The same for what takes a quarter of a minute on an idle machine. */
export const longTimeoutMs = 2 * timeoutMs;

/** Resolves once the condition holds. The test's own timeout bounds the wait. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

/** For what must not happen, which no condition shows. Too short a while can miss a fault; it cannot make up one. */
export function aWhile(): Promise<void> {
  return sleep(50);
}
