/** Runs many rounds of cluster chaos, a few lives at a time, sums their figures, and stops at the first life that fails. */
import { runLife } from "./cluster-life.ts";

export interface RoundsOptions {
  readonly rounds: number;
  /** Seed of the first life; each later life has the next. A life is reproduced by its own seed and number of rounds. */
  readonly seed: number;
  readonly atOnce: number;
  readonly report: (line: string) => void;
}

export interface RoundsResult {
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

const roundsOfLife = 10;

export async function runRounds({ rounds, seed, atOnce, report }: RoundsOptions): Promise<RoundsResult> {
  const violations: string[] = [];
  const figures: Record<string, number> = {};
  const startedAt = performance.now();
  let begun = 0;
  let done = 0;
  let lives = 0;

  async function liveOn(): Promise<void> {
    while (begun < rounds && violations.length === 0) {
      const count = Math.min(roundsOfLife, rounds - begun);
      begun += count;
      const own = seed + lives++;
      let round = 0;
      const life = await runLife({
        seed: own,
        rounds: count,
        report: (line) => report(`${++done}/${rounds}, seed ${own}, round ${++round}: ${line}`),
      });
      violations.push(...life.violations);
      for (const [name, value] of Object.entries(life.figures)) figures[name] = (figures[name] ?? 0) + value;
    }
  }

  await Promise.all(Array.from({ length: atOnce }, liveOn));
  return { violations, figures: { ...figures, seconds: Math.round((performance.now() - startedAt) / 1000), lives } };
}
