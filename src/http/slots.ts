/** A fixed number of places, given in order of arrival to those who wait no longer than their deadline. */

/** Gives the place back; safe twice. */
export type Release = () => void;

export interface Slots {
  readonly taken: number;
  readonly waiting: number;
  /** A place if one is free now. */
  tryTake(): Release | undefined;
  /** The next free place, or nothing when `timeoutMs` have passed. */
  take(timeoutMs: number): Promise<Release | undefined>;
}

/** The caller bounds how many may wait. */
export function createSlots(size: number): Slots {
  /** In order of arrival, which a Set keeps; who gives up leaves from the middle. */
  const queue = new Set<(release: Release) => void>();
  let taken = 0;

  function occupy(): Release {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const [next] = queue;
      if (next === undefined) {
        taken--;
        return;
      }
      queue.delete(next);
      next(occupy());
    };
  }

  function tryTake(): Release | undefined {
    if (taken >= size) return undefined;
    taken++;
    return occupy();
  }

  return {
    get taken() {
      return taken;
    },
    get waiting() {
      return queue.size;
    },
    tryTake,
    async take(timeoutMs) {
      const release = tryTake();
      if (release !== undefined || timeoutMs <= 0) return release;
      return await new Promise((resolve) => {
        const enter = (place: Release): void => {
          clearTimeout(timer);
          resolve(place);
        };
        const timer = setTimeout(() => {
          queue.delete(enter);
          resolve(undefined);
        }, timeoutMs);
        queue.add(enter);
      });
    },
  };
}
