/** Chooses which values of an unknown kind are kept to be looked at: a few of each kind, and not of endlessly many kinds. */

const maxKinds = 64;
const maxOfAKind = 3;

export interface Samples {
  /** Whether this text should be kept; counts it if so. */
  wants(text: string): boolean;
}

/** A kind is told by the beginning of its text: member names and their order, without what they hold. */
export function createSamples(): Samples {
  const kept = new Map<string, number>();
  return {
    wants(text) {
      const kind = text.slice(0, 512).replaceAll(/:\s*("(?:[^"\\]|\\.)*"?|[\d.eE+-]+|true|false|null)/g, "");
      const count = kept.get(kind) ?? 0;
      if (count >= maxOfAKind || (count === 0 && kept.size >= maxKinds)) return false;
      kept.set(kind, count + 1);
      return true;
    },
  };
}
