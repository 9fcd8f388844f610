/** What befalls a cluster in a round of its chaos run. Each fault is over once everything runs again. */
import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../src/demo/random.ts";
import type { CuttingProxy } from "../support/cutting-proxy.ts";
import { until } from "../support/wait.ts";
import type { Instance } from "./cluster-instance.ts";

/** The programs of a run, and what is between them and their database. */
export interface Site {
  readonly instances: readonly Instance[];
  readonly database: { kill(): Promise<void>; start(): Promise<void> };
  /** In front of the database, one for each instance. */
  proxyOf(instance: Instance): CuttingProxy;
  /** By the database's word, while the lease holds. */
  leader(): Promise<Instance | undefined>;
  /** How many terms there have been. */
  terms(): Promise<number>;
}

export interface Fault {
  readonly name: string;
  /** Whether the backend may get log records again that it has. If not, it still may if the lease was lost meanwhile. */
  readonly repeats: boolean;
  /** `may repeat`: it went otherwise than it should, for want of time. */
  inflict(site: Site, random: Random): Promise<void | "may repeat">;
}

/** The one that another term follows without anything being repeated. */
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

/** The leader, and who does not lead. */
async function roles(site: Site): Promise<readonly [Instance, Instance]> {
  let leader: Instance | undefined;
  await until(async () => (leader = await site.leader()) !== undefined);
  const other = site.instances.find((instance) => instance !== leader);
  return [leader as Instance, other as Instance];
}

function untilLeads(site: Site, instance: Instance): Promise<void> {
  return until(async () => (await site.leader()) === instance);
}
