/** How many log events of each record are kept where a limit of the batch left some out: the flags of a journal row. */

const all = 0xffff_ffff;

/** As many events as the batch may still make. */
export interface EventBudget {
  left: number;
  /** Events left out. */
  dropped: number;
}

/** The flags of records that would make so many events each; nothing where all of them are kept. */
export function keepEvents(events: readonly number[], budget: EventBudget): Uint8Array | undefined {
  let isCut = false;
  const kept = new DataView(new ArrayBuffer(events.length * 4));
  events.forEach((made, place) => {
    const taken = Math.min(made, budget.left);
    budget.left -= taken;
    budget.dropped += made - taken;
    if (taken < made) isCut = true;
    kept.setUint32(place * 4, taken < made ? taken : all, true);
  });
  return isCut ? new Uint8Array(kept.buffer) : undefined;
}

/** The events of a record that are kept, by its place in the row. */
export function keptEvents<Event>(
  events: readonly Event[],
  flags: Uint8Array | undefined,
  place: number,
): readonly Event[] {
  if (flags === undefined || flags.length < place * 4 + 4) return events;
  const kept = new DataView(flags.buffer, flags.byteOffset, flags.length).getUint32(place * 4, true);
  return kept === all || kept >= events.length ? events : events.slice(0, kept);
}
