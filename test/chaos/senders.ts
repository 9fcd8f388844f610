/** Senders as Tailscale's are: a batch that is not answered with 200 is sent again, whole, until it is. */
import { expect } from "bun:test";
import { setTimeout as wait } from "node:timers/promises";
import { createRandom, type Random } from "../../src/demo/random.ts";
import type { RunningProgram } from "../support/running-program.ts";
import { until } from "../support/wait.ts";
import type { Account } from "./account.ts";
import type { Batch, TrafficSource } from "./traffic.ts";

export interface Senders {
  /** Ends after the batches under way are answered. */
  stop(): Promise<void>;
  readonly figures: { readonly requests: number; readonly refused: number; readonly unanswered: number };
  /** How often each status was answered. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Requests that were answered with 200, by URL. */
  readonly taken: ReadonlyMap<string, number>;
}

/** What is sent is noted there. */
export type Books = Pick<Account, "sending" | "answered">;

export interface SenderOptions {
  /** Each try goes to any of them, as a balancer would have it. */
  readonly urls: readonly string[];
  readonly source: TrafficSource;
  readonly count: number;
  readonly seed: number;
  /** How long an answer is waited for; 5 s if it is not given. */
  readonly patienceMs?: number;
  /** How likely a sender gives a batch up after a try without success; a hundredth if it is not given. */
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
      /** Now and then it hangs up early, and does not learn what became of the batch. */
      const signal = AbortSignal.timeout(random.chance(0.03) ? 1 + random.below(4) : patienceMs);
      /** Now and then two connections carry it at once. */
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
      /** Now and then a sender is gone for good. */
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
  /** 0: none came. */
  readonly status: number;
  readonly text: string;
}

/** Sends the next batch once. */
export function sendNext(url: string, source: TrafficSource, account: Books): Promise<SenderAnswer> {
  const batch = source.next();
  account.sending(batch);
  return post(url, batch, account);
}

/** Sends a batch, which the account knows, once more. */
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

/** Resolves when all that was answered has arrived; then the program is stopped, and the books must be even. */
export async function expectAllArrived(program: RunningProgram, account: Account): Promise<void> {
  await until(() => account.outstanding().length === 0);
  expect(await program.stop()).toBe(0);
  const { records } = account.accepted();
  expect([records, account.violations]).toEqual([account.answeredRecords, []]);
}
