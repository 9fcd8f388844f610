/**
 * One life of a cluster: two instances on one database under load, with a fault in each round and a check of the books after
 * it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { RunningStatus } from "../../src/admin/status.ts";
import type { Traffic } from "../../src/admin/traffic/index.ts";
import { createRandom, type Random } from "../../src/demo/random.ts";
import { askAdmin } from "../support/admin.ts";
import { startTailnet } from "../support/tailnet/index.ts";
import { until } from "../support/wait.ts";
import { openBooks, stuckMs } from "./cluster-books.ts";
import { cleanStop, type Fault, faults } from "./cluster-faults.ts";
import type { Instance } from "./cluster-instance.ts";
import { createClusterLoad } from "./cluster-load.ts";
import { type ClusterSite, openSite } from "./cluster-site.ts";
import { compareHistory } from "./comparison.ts";

export interface LifeOptions {
  /** The same seed gives the same faults at the same points of the same load. */
  readonly seed: number;
  readonly rounds: number;
  /** Called after each round with a line about it. */
  readonly report: (line: string) => void;
}

export interface LifeResult {
  /** Violated expectations; empty if all is well. */
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

/** Number of requests answered before a fault, and by each instance after it. */
const requestsBefore = 8;
const requestsAfter = 3;

export async function runLife(options: LifeOptions): Promise<LifeResult> {
  const { seed, rounds, report } = options;
  const edition = seed % 2 === 0 ? "debian" : "npm";
  const connections = seed % 4 < 2 ? "pooled" : "direct";
  const directory = mkdtempSync(join(tmpdir(), "chaos-cluster-"));
  const books = await openBooks();
  const { account, watch, sink } = books;
  const token = "test-token";
  const tailnet = await startTailnet();
  const site = await openSite({ directory, endpoint: sink.url, tailnet, edition, connections });
  const load = createClusterLoad({ seed, token, bases: site.instances.map(({ base }) => base), account, tailnet });
  const startedAt = performance.now();
  let round = 0;
  let fault = "the start";

  const pending = async (): Promise<number> => {
    const leader = await site.leader();
    if (leader === undefined) return Number.NaN;
    // It may no longer be the leader, and then has no sums.
    return askAdmin<Partial<RunningStatus>>(leader.admin, "status").then(
      ({ conservation }) => conservation?.pending ?? Number.NaN,
      () => Number.NaN,
    );
  };

  async function play({ name, inflict, repeats }: Fault, random: Random): Promise<void> {
    const beganAt = performance.now();
    const before = { repeats: account.repeats, arrivals: account.arrivals, terms: await site.terms() };
    const running = load.begin(round);
    const taken = (instances: readonly Instance[]) =>
      instances.reduce((sum, { base }) => sum + running.takenAt(base), 0);
    await until(() => taken(site.instances) >= requestsBefore);
    await wait(random.below(200));
    const outcome = await inflict(site, random);
    await Promise.all(site.instances.map((instance) => instance.ready()));
    const then = site.instances.map((instance) => taken([instance]) + requestsAfter);
    await until(() => site.instances.every((instance, place) => taken([instance]) >= (then[place] as number)));
    await running.end();
    await books.settled(pending);
    account.violations.push(...(await site.violations()));
    const repeated = account.repeats - before.repeats;
    // On a busy machine, such a short lease may expire without a fault; the next leader then resends what was in flight.
    const isLost = outcome !== undefined || (await site.terms()) - before.terms > (name === cleanStop ? 1 : 0);
    if (!repeats && !isLost && repeated > 0)
      account.violations.push(`${repeated} log records came twice, for no reason`);
    const seconds = ((performance.now() - beganAt) / 1000).toFixed(1);
    report(`${name}: ${account.arrivals - before.arrivals} log records, ${repeated} of them again, ${seconds} s`);
  }

  try {
    await site.start();
    for (const next of dealt(createRandom(seed), rounds)) {
      if (account.violations.length > 0) break;
      round++;
      fault = next.name;
      await play(next, createRandom(seed, round));
    }
    if (account.violations.length === 0) await end(site, books);
  } catch (error) {
    account.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    await Promise.all(site.instances.map((instance) => instance.isRunning && instance.kill()));
    await Promise.all([sink.stop(), tailnet.stop()]);
  }
  const violations = [...new Set(account.violations)].slice(0, 20);
  const kept = await site.end(violations.length > 0 ? "keep" : "remove");
  if (kept === undefined) rmSync(directory, { recursive: true, force: true });
  else violations.unshift(`seed ${seed}, round ${round}, ${fault}; kept: ${directory} and ${kept}`);
  const statuses = Object.fromEntries(Array.from(load.statuses, ([status, times]) => [`answered${status}`, times]));
  return {
    violations,
    figures: {
      rounds: round,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      recordsAnswered: account.answeredRecords,
      ...account.leftSums,
      ...statuses,
      polled: load.polled.records,
      polledAndStreamed: load.polled.streamedToo,
      logRecords: account.arrivals,
      logRecordsAgain: account.repeats,
      folds: watch.folds,
      points: watch.points,
    },
  };
}

/** Deals every fault equally often, in random order. */
function* dealt(random: Random, rounds: number): Generator<Fault> {
  let deck: Fault[] = [];
  for (let round = 0; round < rounds; round++) {
    if (deck.length === 0) deck = [...faults];
    yield deck.splice(random.below(deck.length), 1)[0] as Fault;
  }
}

/** Stops both instances after checking that their totals and history add up. */
async function end(site: ClusterSite, { account }: Awaited<ReturnType<typeof openBooks>>): Promise<void> {
  const conservation = await steady(site, async ({ admin }) => {
    const status = await askAdmin<Partial<RunningStatus>>(admin, "status");
    return status.conservation?.pending === 0 ? status.conservation : undefined;
  });
  // A new leader may still be reading rows that are missing in its minutes.
  const history = await steady(site, async ({ admin }) => {
    const traffic = await askAdmin<Traffic>(admin, "traffic?since=0");
    return traffic.isComplete ? traffic : undefined;
  });
  compareHistory(account, history, account.accepted());
  const { records } = account.accepted();
  const { accepted, delivered, lost, uncounted } = conservation;
  if (accepted !== records || delivered !== records || lost + uncounted > 0)
    account.violations.push(`${records} records left, but ${JSON.stringify(conservation)}`);
  for (const instance of site.instances) {
    const code = await instance.stop();
    const output = instance.output();
    if (code !== 0) account.violations.push(`${instance.name} ended with ${code}: ${output.slice(-2000)}`);
    const alarm = /^.*(panic|uncaught|TypeError|RangeError).*$/im.exec(output);
    if (alarm !== null) account.violations.push(`${instance.name} wrote: ${alarm[0]}`);
  }
}

/**
 * The leader's answer, requested again while leadership changes: on a busy machine, such a short lease expires without a fault.
 */
async function steady<Answer>(
  site: ClusterSite,
  ask: (leader: Instance) => Promise<Answer | undefined>,
): Promise<Answer> {
  const since = performance.now();
  let problem: unknown = new Error("no leader says that all is delivered");
  let answer: Answer | undefined;
  await until(async () => {
    const leader = await site.leader();
    answer = await (leader && ask(leader))?.catch((error: unknown) => {
      problem = error;
      return undefined;
    });
    if (answer === undefined && performance.now() - since > stuckMs) throw problem;
    return answer !== undefined;
  });
  return answer as Answer;
}
