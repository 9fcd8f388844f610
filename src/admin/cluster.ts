/** The instances that share a journal, for `/api/v1/status`, and which of them to ask for what only the leader knows. */
import { type Cluster, type ClusterView, type Member, reasonOf } from "../journal/index.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { Health, RunningStatus } from "./status.ts";

/** Times are RFC 3339. */
export interface ClusterStatus {
  /** The instance that answers. */
  readonly member: string;
  readonly isLeading: boolean;
  /** This and all that follows are absent while the database cannot be queried. */
  readonly members?: readonly ShownMember[];
  readonly lease?: {
    /** Increases with each leader. */
    readonly fence: number;
    /** Time until another instance may lead, unless the leader renews the lease; negative once it has expired. */
    readonly expiresInMs: number;
  };
  /** Rows of the journal: the last one, the last one in committed counters, and the next one to deliver. */
  readonly rows?: Readonly<Record<"last" | "counted" | "toDeliver", number>>;
  readonly roundTripMs?: number;
  /** Why the database cannot be queried. */
  readonly trouble?: string;
}

export interface ShownMember extends Omit<Member, "startedAt" | "seenAt"> {
  readonly startedAt: string;
  readonly seenAt: string;
}

/** The status of a follower, without anything about the tailnet, which only the leader knows. */
export interface FollowerStatus extends Health {
  readonly version: string;
  readonly statePath: string;
  readonly space: RunningStatus["space"];
  readonly degraded: readonly string[];
  readonly troubles?: RunningStatus["troubles"];
  readonly cluster: ClusterStatus;
}

/** The status of a running instance: only the leader, or an instance with its own journal, has sums. */
export type InstanceStatus = (RunningStatus & { readonly cluster?: ClusterStatus }) | FollowerStatus;

export function isFollower(status: object): status is FollowerStatus {
  return "cluster" in status && !("conservation" in status);
}

export async function clusterStatus(cluster: Cluster): Promise<ClusterStatus> {
  const { member, isLeading } = cluster;
  try {
    return { member, isLeading, ...shown(await cluster.view()) };
  } catch (error) {
    return { member, isLeading, trouble: reasonOf(error) };
  }
}

function shown({ members, fence, leaseMs, lastSeq, measuredSeq, cursorSeq, roundTripMs }: ClusterView) {
  return {
    members: members.map(({ startedAt, seenAt, ...one }) => ({
      ...one,
      startedAt: timeText(startedAt),
      seenAt: timeText(seenAt),
    })),
    lease: { fence, expiresInMs: Math.round(leaseMs) },
    rows: { last: lastSeq, counted: measuredSeq, toDeliver: cursorSeq },
    roundTripMs: Math.round(roundTripMs * 10) / 10,
  };
}

/** Which instance leads, and where to ask it, as sentences. */
export async function leaderText(cluster: Cluster): Promise<string> {
  return whomToAsk(await clusterStatus(cluster));
}

/** The same, from the answer of a follower. */
export function whomToAsk({ member, members, lease, trouble }: ClusterStatus): string {
  const own = "this instance is a follower";
  if (members === undefined)
    return `${own}; which instance leads is not known: ${trouble ?? "the database does not answer"}`;
  const leader = members.find(({ isLeader }) => isLeader);
  // A leader that has stopped without releasing its lease is listed until another one leads.
  const isOver = lease !== undefined && lease.expiresInMs <= 0;
  if (leader === undefined || leader.id === member || isOver)
    return `${own}; no instance leads at the moment: ask again in a few seconds`;
  const name = leader.host === "" ? leader.id : leader.host;
  return leader.adminAddress === ""
    ? `${own}; the leader, ${name}, has no address to ask: admin.enabled is false there, or admin.listen has no fixed port`
    : `${own}: ask the leader, ${name}, at ${leader.adminAddress}`;
}
