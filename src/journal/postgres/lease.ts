/**
 * The instances that share the journal, a row for each, and which of them leads: the holder of the lease, by the database's clock
 * alone.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Cluster, ClusterView, Member } from "../journal.ts";
import type { Connection } from "./connection.ts";
import { type Heads, type HeadRow, headColumns } from "./head.ts";

export interface MembershipDeps {
  /** Used by nothing else, because a renewal must not wait for a query. */
  readonly connection: Connection;
  /** For views of the cluster. */
  readonly looking: Connection;
  /** Quoted. */
  readonly schema: string;
  readonly member: Pick<Member, "id" | "host" | "version" | "adminAddress">;
  readonly leaseMs: number;
  readonly heads: Heads;
  readonly logger: Logger;
}

/** How often a waiting instance requests the lease: after a stop, another one takes over within this time. */
const askMs = 1000;

/** Pause before a failed renewal is repeated. */
const retryMs = 250;

/** How long a stop waits for the database. */
const farewellMs = 2000;

/** How long an instance that was not stopped cleanly is still shown. */
const forgottenMs = 3_600_000;

/** No lease can last longer, so one that seems to is from before the database's clock was set back. */
const longestLeaseMs = 120_000;

/** On the database's clock: now, and when the statement began, before it may have waited for a lock. */
const now = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint";
const begun = "(EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::bigint";

const sqlOf = (s: string) => ({
  seen: `WITH me AS (INSERT INTO ${s}.member (id, host, version, admin_address, started_at, seen_at)
      VALUES ($1, $2, $3, $4, ${now}, ${now}) ON CONFLICT (id) DO UPDATE SET seen_at = ${now}),
    gone AS (DELETE FROM ${s}.member WHERE seen_at NOT BETWEEN ${now} - ${forgottenMs} AND ${now} + ${forgottenMs} AND id <> $1)
    SELECT ${headColumns(s)} FROM ${s}.head`,
  ask: `UPDATE ${s}.lease SET holder = $1, fence = fence + 1, until_at = ${begun} + $2 WHERE until_at NOT BETWEEN ${now} AND ${now} + ${longestLeaseMs} RETURNING fence`,
  renew: `UPDATE ${s}.lease SET until_at = ${begun} + $2 WHERE holder = $1 AND fence = $3 RETURNING fence`,
  release: `UPDATE ${s}.lease SET holder = '', until_at = 0 WHERE holder = $1 AND fence = $2`,
  leave: `DELETE FROM ${s}.member WHERE id = $1`,
  // LIMIT makes each a single row: without statistics, the planner expects a product of thousands and compiles it for a second.
  view: `SELECT id, host, m.version, admin_address AS "adminAddress", started_at AS "startedAt", seen_at AS "seenAt",
      id = holder AS "isLeader", fence, until_at - ${now} AS "leaseMs", seq AS "lastSeq",
      (SELECT value FROM ${s}.state WHERE name = 'measured') AS measured, (SELECT value FROM ${s}.state WHERE name = 'cursor') AS cursor
    FROM (SELECT * FROM ${s}.head LIMIT 1) h CROSS JOIN (SELECT * FROM ${s}.lease LIMIT 1) l
    LEFT JOIN ${s}.member m ON TRUE ORDER BY started_at, id`,
});

interface ViewRow extends Omit<Member, "id" | "isLeader"> {
  readonly id: string | null;
  readonly isLeader: boolean | null;
  readonly fence: number;
  readonly leaseMs: number;
  readonly lastSeq: number;
  readonly measured: Uint8Array | null;
  readonly cursor: Uint8Array | null;
}

/** This instance as one of the members. From `register` to `close` it updates its row every third of a lease. */
export class Membership implements Cluster {
  readonly #deps: MembershipDeps;
  readonly #sql: ReturnType<typeof sqlOf>;
  #lease: Lease | undefined;
  /** Called with the lease that this instance waits for. */
  #candidate: ((lease: Lease) => void) | undefined;
  /** True if following another instance was logged. */
  #isFollowing = false;
  #isClosed = false;
  #beats: Promise<void> | undefined;
  #seenAt = Number.NEGATIVE_INFINITY;
  #wake: () => void = () => undefined;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
    this.#sql = sqlOf(deps.schema);
  }

  get member(): string {
    return this.#deps.member.id;
  }

  get isLeading(): boolean {
    return this.#lease?.isOver === false;
  }

  /** Adds this instance to the members, again if it has been deleted. */
  async register(): Promise<void> {
    await this.#showLife();
    this.#beats ??= this.#beat();
  }

  /** Resolves once this instance leads. Rejects when the signal aborts. One call at a time. */
  lead(signal: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#candidate = undefined;
        reject(signal.reason as Error);
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      this.#candidate = (lease) => {
        signal.removeEventListener("abort", stop);
        resolve(lease);
      };
      this.#wake();
    });
  }

  async view(): Promise<ClusterView> {
    const startedAt = performance.now();
    const rows = await this.#deps.looking.query<ViewRow>(this.#sql.view);
    const [row] = rows;
    if (row === undefined) throw new Unavailable("the database has no lease: its schema is incomplete");
    const numberIn = (value: Uint8Array | null, name: string): number | undefined =>
      value === null ? undefined : (JSON.parse(new TextDecoder().decode(value)) as Record<string, number>)[name];
    return {
      members: rows.flatMap(({ id, host, version, adminAddress, startedAt: from, seenAt, isLeader }) =>
        id === null ? [] : [{ id, host, version, adminAddress, startedAt: from, seenAt, isLeader: isLeader === true }],
      ),
      fence: row.fence,
      leaseMs: row.leaseMs,
      lastSeq: row.lastSeq,
      measuredSeq: numberIn(row.measured, "measuredSeq") ?? 0,
      cursorSeq: numberIn(row.cursor, "seq") ?? 1,
      roundTripMs: performance.now() - startedAt,
    };
  }

  /** Releases the lease and removes this instance. Does not wait long for an unavailable database. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wake();
    const { connection } = this.#deps;
    const farewell = async (): Promise<void> => {
      await this.#beats;
      await this.#lease?.release();
      await connection.query(this.#sql.leave, [this.member]);
    };
    await Promise.race([farewell().catch(() => undefined), delay(farewellMs, undefined, { ref: false })]);
    this.#lease?.end();
    connection.close();
  }

  async #beat(): Promise<void> {
    while (!this.#isClosed) {
      const third = this.#deps.leaseMs / 3;
      let pauseMs = this.#candidate === undefined ? third : Math.min(third, askMs);
      try {
        if (this.isLeading) await this.#lease?.renew();
        else if (this.#candidate !== undefined) await this.#ask();
        if (performance.now() - this.#seenAt >= third) await this.#showLife();
        if (this.isLeading) pauseMs = third;
      } catch {
        /** The connection logs the problem, once. A lease that cannot be renewed expires. */
        pauseMs = Math.min(retryMs, third);
      }
      await this.#pause(pauseMs);
    }
  }

  async #ask(): Promise<void> {
    const { connection, leaseMs, logger } = this.#deps;
    const sentAt = performance.now();
    const [taken] = await connection.query<{ fence: number }>(this.#sql.ask, [this.member, leaseMs]);
    if (taken === undefined) {
      const message = "another instance holds the lease: this one accepts records, and leads once the lease ends";
      if (!this.#isFollowing) logger.info(message);
      this.#isFollowing = true;
      return;
    }
    this.#isFollowing = false;
    const lease = new Lease(this.#deps, taken.fence, sentAt);
    this.#lease = lease;
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate === undefined || this.#isClosed) return lease.release();
    logger.debug("this instance holds the lease", { member: this.member, fence: taken.fence });
    candidate(lease);
  }

  async #showLife(): Promise<void> {
    const { connection, member, heads } = this.#deps;
    const startedAt = performance.now();
    const values = [member.id, member.host, member.version, member.adminAddress];
    const [head] = await connection.query<HeadRow>(this.#sql.seen, values);
    if (head !== undefined) heads.see(head);
    this.#seenAt = startedAt;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) return resolve();
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The lease of one term as the leader. */
export class Lease {
  /** Carried by every write; one with an older number is refused. */
  readonly fence: number;
  readonly #deps: MembershipDeps;
  readonly #sql: ReturnType<typeof sqlOf>;
  readonly #lost = new AbortController();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  /** True once the lease was lost or released. */
  isOver = false;

  /** `sentAt`: when the lease was requested, by the steady clock. The database counts from a later moment. */
  constructor(deps: MembershipDeps, fence: number, sentAt: number) {
    this.#deps = deps;
    this.#sql = sqlOf(deps.schema);
    this.fence = fence;
    this.#extend(sentAt);
  }

  /** Aborted once another instance leads, or may lead. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async renew(): Promise<void> {
    const { connection, member, leaseMs } = this.#deps;
    const sentAt = performance.now();
    const [renewed] = await connection.query(this.#sql.renew, [member.id, leaseMs, this.fence]);
    if (this.isOver) return;
    if (renewed === undefined) this.lose("another instance leads");
    else this.#extend(sentAt);
  }

  /** Call it when a write was refused. */
  lose(reason: string): void {
    if (this.isOver) return;
    this.end();
    this.#deps.logger.debug("the lease is lost", { fence: this.fence, reason });
    this.#lost.abort(new Unavailable(reason));
    // Releases a lease that is still held, so that nobody waits for its expiry: writes in progress carry the fence.
    void this.#giveBack();
  }

  /** Lets another instance lead at once. Nothing may be written afterwards. */
  async release(): Promise<void> {
    if (this.isOver) return;
    this.end();
    await this.#giveBack();
  }

  async #giveBack(): Promise<void> {
    const { connection, member } = this.#deps;
    await connection.query(this.#sql.release, [member.id, this.fence]).catch(() => undefined);
  }

  end(): void {
    this.isOver = true;
    clearTimeout(this.#deadline);
  }

  #extend(sentAt: number): void {
    clearTimeout(this.#deadline);
    const leftMs = sentAt + this.#deps.leaseMs - performance.now();
    const reason = "the lease could not be renewed in time, so another instance may lead";
    this.#deadline = setTimeout(() => this.lose(reason), Math.max(0, leftMs));
  }
}
