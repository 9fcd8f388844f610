/** A time limit that stands still while the program works on what it has been given: only the other side's time counts. */

export interface Deadline {
  /** Aborted once the limit is reached, and by `outer`. */
  readonly signal: AbortSignal;
  readonly isOver: boolean;
  pause(): void;
  resume(): void;
  /** Must be called in the end. */
  stop(): void;
}

/** Begins at once. `outer` ends it early. */
export function startDeadline(limitMs: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  let leftMs = limitMs;
  let since = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const end = () => {
    isOver = true;
    controller.abort();
  };
  const pause = () => {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    leftMs = Math.max(0, leftMs - (performance.now() - since));
  };
  const resume = () => {
    if (timer !== undefined || isOver) return;
    since = performance.now();
    timer = setTimeout(end, leftMs);
  };
  resume();
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]),
    get isOver() {
      return isOver;
    },
    pause,
    resume,
    stop: pause,
  };
}
