/** Runs what the simulated tailnet sends: a stream of flow records, one of audit records, and webhooks, as Tailscale has them. */
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "../lib/clock.ts";
import type { Schedule } from "./schedule.ts";
import type { Sender } from "./sender.ts";
import { entriesOf } from "./wire.ts";
import type { WireEvent } from "./wire.ts";

export interface StreamOptions {
  readonly schedule: Schedule;
  readonly sender: Sender;
  readonly webhooks: Sender<WireEvent>;
  /** The most connection entries a second. */
  readonly entriesPerSecond: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How often to look whether something is due. */
const pollMs = 250;

/** Sends until the signal ends it; resolves then, whatever was under way. */
export async function stream(options: StreamOptions): Promise<void> {
  await Promise.all([
    untilAborted(options.signal, () => sendFlows(options)),
    untilAborted(options.signal, () => sendChanges(options)),
    untilAborted(options.signal, () => sendDeliveries(options)),
  ]);
}

async function sendFlows({ schedule, sender, entriesPerSecond, clock, signal }: StreamOptions): Promise<void> {
  for (;;) {
    const began = clock();
    const flows = schedule.nextFlows();
    if (flows.length > 0) await sender.push(flows);
    const entries = flows.reduce((sum, { event }) => sum + entriesOf(event), 0);
    const dueMs = entries === 0 ? pollMs : (entries * 1000) / entriesPerSecond;
    await wait(Math.max(0, dueMs - (clock() - began)), undefined, { signal });
  }
}

async function sendChanges({ schedule, sender, signal }: StreamOptions): Promise<void> {
  for (;;) {
    const changes = schedule.nextChanges();
    if (changes.length > 0) await sender.push(changes);
    await wait(pollMs, undefined, { signal });
  }
}

async function sendDeliveries({ schedule, webhooks, signal }: StreamOptions): Promise<void> {
  for (;;) {
    for (const events of schedule.nextDeliveries()) {
      await webhooks.push(events);
      signal.throwIfAborted();
    }
    await wait(pollMs, undefined, { signal });
  }
}

async function untilAborted(signal: AbortSignal, send: () => Promise<void>): Promise<void> {
  try {
    await send();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
