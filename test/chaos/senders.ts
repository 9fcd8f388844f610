/** Senders that behave like Tailscale's: they resend a whole batch until it is answered with 200. */
import { expect } from "bun:test";
import { setTimeout as wait } from "node:timers/promises";
import { createRandom, type Random } from "../../src/demo/random.ts";
import type { RunningProgram } from "../support/running-program.ts";
import { until } from "../support/wait.ts";
import type { Account } from "./account.ts";
import type { Batch, TrafficSource } from "./traffic.ts";

export interface Senders {
  /** Resolves after the batches in flight are answered. */
  stop(): Promise<void>;
  readonly figures: { readonly requests: number; readonly refused: number; readonly unanswered: number };
  /** Number of responses by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Number of requests answered with 200, by URL. */
  readonly taken: ReadonlyMap<string, number>;
}

/** Where batches and responses are noted. */
export type Books = Pick<Account, "sending" | "answered">;

export interface SenderOptions {
  /** Each attempt goes to any of them, as with a load balancer. */
  readonly urls: readonly string[];
  readonly source: TrafficSource;
  readonly count: number;
  readonly seed: number;
  /** How long to wait for a response; default: 5 s. */
  readonly patienceMs?: number;
  /** Probability that a sender gives up a batch after a failed attempt; default: a hundredth. */
  readonly abandons?: number;
}

export function startSenders(options: SenderOptions, account: Books): Senders {
  const { urls, source, count, seed, patienceMs = 5000, abandons = 0.01 } = options;
  const figures = { requests: 0, refused: 0, unanswered: 0 };
  const statuses = new Map<number, number>();
  const taken = new Map<string, number>();
  const stopping = new AbortController();

  async function tryOnce(url: string, { headers, body }: Batch, signal: AbortSignal): Promise<boolean> {
    figures.requests++;
    try {
      const answer = await fetch(url, { method: "POST", headers, body, signal });
      await answer.text();
      addOne(statuses, answer.status);
      if (answer.status === 200) addOne(taken, url);
      else figures.refused++;
      return answer.status === 200;
    } catch {
      figures.unanswered++;
      return false;
    }
  }

  async function deliver(batch: Batch, random: Random): Promise<void> {
    account.sending(batch);
    while (true) {
      /** Sometimes the sender hangs up early and does not learn the outcome. */
      const signal = AbortSignal.timeout(random.chance(0.03) ? 1 + random.below(4) : patienceMs);
      /** Sometimes two connections send it at once. */
      const tries = Array.from({ length: random.chance(0.05) ? 2 : 1 }, () =>
        tryOnce(random.pick(urls), batch, signal),
      );
      const answers = await Promise.all(
        tries.map((answered) =>
          answered.then((isTaken) => {
            if (isTaken) account.answered(batch, Date.now());
            return isTaken;
          }),
        ),
      );
      if (answers.includes(true)) return;
      /** Sometimes a sender gives up for good. */
      if (random.chance(abandons) && !stopping.signal.aborted) return;
      await wait(20 + random.below(100));
    }
  }

  async function send(random: Random): Promise<void> {
    while (!stopping.signal.aborted) {
      await deliver(source.next(), random);
      await wait(random.below(60));
    }
  }

  const all = Array.from({ length: count }, (_, place) => send(createRandom(seed, place)));
  return {
    figures,
    statuses,
    taken,
    async stop() {
      stopping.abort();
      await Promise.all(all);
    },
  };
}

function addOne<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

export interface SenderAnswer {
  /** 0 without a response. */
  readonly status: number;
  readonly text: string;
}

/** Sends the next batch once. */
export function sendNext(url: string, source: TrafficSource, account: Books): Promise<SenderAnswer> {
  const batch = source.next();
  account.sending(batch);
  return post(url, batch, account);
}

/** Sends a batch that the account already knows once more. */
export async function post(url: string, batch: Batch, account: Books): Promise<SenderAnswer> {
  try {
    const answer = await fetch(url, { method: "POST", headers: batch.headers, body: batch.body });
    const text = await answer.text();
    if (answer.status === 200) account.answered(batch, Date.now());
    return { status: answer.status, text };
  } catch {
    return { status: 0, text: "" };
  }
}

/** Resolves when everything answered has arrived; then stops the program and checks the books. */
export async function expectAllArrived(program: RunningProgram, account: Account): Promise<void> {
  await until(() => account.outstanding().length === 0);
  expect(await program.stop()).toBe(0);
  const { records } = account.accepted();
  expect([records, account.violations]).toEqual([account.answeredRecords, []]);
}
