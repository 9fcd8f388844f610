/** The faults of a cluster's chaos run, one per round; each is over once everything runs again. */
import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../src/demo/random.ts";
import type { CuttingProxy } from "../support/cutting-proxy.ts";
import { until } from "../support/wait.ts";
import type { Instance } from "./cluster-instance.ts";

/** The programs of a run, their database and the proxies in between. */
export interface Site {
  readonly instances: readonly Instance[];
  readonly database: { kill(): Promise<void>; start(): Promise<void> };
  /** The instance's own proxy in front of the database. */
  proxyOf(instance: Instance): CuttingProxy;
  /** The leader according to the database, while the lease holds. */
  leader(): Promise<Instance | undefined>;
  /** Number of terms so far. */
  terms(): Promise<number>;
}

export interface Fault {
  readonly name: string;
  /**
   * True if the backend may receive log records it already has. If false, that still may happen if the lease was lost
   * meanwhile.
   */
  readonly repeats: boolean;
  /** Returns `may repeat` if it ran out of time and did not go as intended. */
  inflict(site: Site, random: Random): Promise<void | "may repeat">;
}

/** The fault after which a new term begins without any repetition. */
export const cleanStop = "stop of the leader";

export const faults: readonly Fault[] = [
  {
    name: "SIGKILL of the leader",
    repeats: true,
    async inflict(site, random) {
      const [leader, other] = await roles(site);
      await leader.kill();
      if (random.chance(0.5)) await untilLeads(site, other);
      await leader.launch();
    },
  },
  {
    name: "SIGKILL of the follower",
    repeats: false,
    async inflict(site, random) {
      const [, follower] = await roles(site);
      await follower.kill();
      await wait(random.below(300));
      await follower.launch();
    },
  },
  {
    name: "SIGKILL of the database",
    repeats: true,
    async inflict({ database }, random) {
      await database.kill();
      await wait(random.below(500));
      await database.start();
    },
  },
  {
    name: "SIGKILL of everything",
    repeats: true,
    async inflict({ database, instances }, random) {
      await Promise.all([database.kill(), ...instances.map((instance) => instance.kill())]);
      const launches = random.chance(0.5) ? instances : instances.toReversed();
      const [first, second] = launches as readonly [Instance, Instance];
      await first.launch();
      await database.start();
      await second.launch();
    },
  },
  {
    name: "SIGSTOP of the leader for longer than its lease",
    repeats: true,
    async inflict(site, random) {
      const [leader, other] = await roles(site);
      leader.freeze();
      await untilLeads(site, other);
      await wait(random.below(300));
      leader.thaw();
    },
  },
  {
    name: "SIGSTOP of the follower",
    repeats: false,
    async inflict(site, random) {
      const [, follower] = await roles(site);
      follower.freeze();
      await wait(300 + random.below(500));
      follower.thaw();
    },
  },
  {
    name: cleanStop,
    repeats: false,
    async inflict(site, random) {
      const [leader, other] = await roles(site);
      const code = await leader.stop();
      if (code !== 0) throw new Error(`${leader.name} ended with ${code}`);
      const isLost = leader.output().includes("no longer leads");
      if (random.chance(0.5)) await untilLeads(site, other);
      await leader.launch();
      return isLost ? "may repeat" : undefined;
    },
  },
  {
    name: "connections cut at random bytes",
    repeats: true,
    async inflict(site, random) {
      const most = random.pick([1000, 10_000, 50_000]);
      const proxies = site.instances.map((instance) => site.proxyOf(instance));
      const cuts = (): number => proxies.reduce((sum, proxy) => sum + proxy.cuts, 0);
      const enough = cuts() + 6;
      for (const proxy of proxies) proxy.cutAtRandom(random.below(2 ** 31), most);
      await until(() => cuts() >= enough);
      await Promise.all(proxies.map((proxy) => proxy.pass()));
    },
  },
  {
    name: "the leader cut off from the database for longer than its lease",
    repeats: true,
    async inflict(site, random) {
      const [leader, other] = await roles(site);
      site.proxyOf(leader).hold();
      await untilLeads(site, other);
      await wait(random.below(300));
      await site.proxyOf(leader).pass();
    },
  },
];

/** The leader and the follower. */
async function roles(site: Site): Promise<readonly [Instance, Instance]> {
  let leader: Instance | undefined;
  await until(async () => (leader = await site.leader()) !== undefined);
  const other = site.instances.find((instance) => instance !== leader);
  return [leader as Instance, other as Instance];
}

function untilLeads(site: Site, instance: Instance): Promise<void> {
  return until(async () => (await site.leader()) === instance);
}
