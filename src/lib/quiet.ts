/** Keeps what happens again and again from filling the log: each kind is said once a minute, with how often it was not. */
import type { Clock } from "./clock.ts";

/** How often this kind was kept quiet since it was last said; nothing where it is to be kept quiet now. Kinds are few. */
export type Quiet<Kind> = (kind: Kind) => { readonly untold: number } | undefined;

const quietMs = 60_000;

export function createQuiet<Kind>(clock: Clock): Quiet<Kind> {
  const kinds = new Map<Kind, { readonly toldAt: number; untold: number }>();
  return (kind) => {
    const now = clock();
    const last = kinds.get(kind);
    if (last !== undefined && now - last.toldAt < quietMs && now >= last.toldAt) {
      last.untold++;
      return undefined;
    }
    kinds.set(kind, { toldAt: now, untold: 0 });
    return { untold: last?.untold ?? 0 };
  };
}
