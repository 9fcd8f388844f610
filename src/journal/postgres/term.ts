/**
 * One term of the leading instance: its journal, from the state that the database holds at the beginning until another instance
 * leads.
 */
import { Unavailable } from "../../errors.ts";
import { pollCursorOf } from "../batch.ts";
import type { JournalConfig, JournalDeps } from "../deps.ts";
import type { Cluster, Journal } from "../journal.ts";
import { primaryDestination } from "../journal.ts";
import { createQuarantine } from "../quarantine.ts";
import { cancelRedelivery, planRetry, redeliveryKey, reportRedeliveries } from "../redelivery.ts";
import { blobPrefix, keptPrefix, maxStateBytes } from "../stored.ts";
import type { Appending } from "./appending.ts";
import { Days } from "./days.ts";
import { DatabaseError } from "./errors.ts";
import { Destinations } from "./destinations.ts";
import { KeyRetention } from "./key-retention.ts";
import type { Lease } from "./lease.ts";
import { Marks, quarantineStore } from "./marks.ts";
import { MinuteTable } from "./minutes.ts";
import { openPostgresReader } from "./rows.ts";
import { quoted } from "./schema.ts";
import { Space } from "./space.ts";
import { readState } from "./state.ts";
import { HeadTail } from "./tail.ts";
import { type Leading, Writer } from "./writer.ts";

export interface TermDeps extends Pick<JournalDeps, "logger" | "clock" | "steady"> {
  readonly config: JournalConfig;
  readonly appending: Appending;
  readonly lease: Lease;
  readonly cluster: Cluster;
  readonly lead: Journal["lead"];
  /** Closes the parts that every instance has. */
  readonly close: () => Promise<void>;
}

export type Term = Awaited<ReturnType<typeof openTerm>>;

/** Timeouts of a write, of a look at the head, and of a query. */
const writeMs = 30_000;
const lookMs = 5000;
const askMs = 60_000;

/** @throws {DatabaseError} if the database cannot be read. @throws {Unavailable} */
export async function openTerm(deps: TermDeps) {
  const { config, appending, lease, logger, clock, steady = () => performance.now() } = deps;
  const { database, heads, turn, location } = appending;
  const schema = quoted(config.state.schema);
  const connection = database.connect(askMs, "reads");
  const writing = database.connect(writeMs);
  const looking = database.connect(lookMs, "reads");
  const closeAll = (): void => [connection, writing, looking].forEach((one) => one.close());

  try {
    const { state, head } = await readState(connection, schema);
    heads.see(head);
    const writer = new Writer({
      connection: writing,
      schema,
      lease,
      state,
      history: head.history,
      logger,
      report(change, destination, { cursor, marks: made = [], redelivered = [] }) {
        const name = destination === primaryDestination ? undefined : destination;
        if (cursor !== undefined) destinations.advance(change, name, cursor);
        marks.add(change, made, destination);
        marks.remove(change, reportRedeliveries(change, redelivered, clock()));
      },
    });
    const { max_bytes: maxBytes, retention: retentionMs } = config.state;
    const parts: Leading = { connection, schema, state, heads, writer };
    const destinations = new Destinations(parts);
    const minutes = new MinuteTable(parts);
    const marks = new Marks(parts, maxBytes);
    const quarantined = quarantineStore(parts, marks);
    const quarantine = createQuarantine(quarantined);
    const keys = new KeyRetention(config, { ...parts, logger });
    const kept = { days: new Days(parts), destinations, marks, minutes, keys };
    const space = new Space({ ...parts, ...kept, clock, steady, logger, maxBytes, retentionMs });
    const tail = new HeadTail({ connection: looking, schema, heads, destinations });
    await writer.write(async (change) => {
      await destinations.begin(change);
      await minutes.begin(change);
    });
    await tail.begin();
    let ended: string | undefined;
    let maintaining: Promise<void> | undefined;
    let moved: Parameters<Journal["useDestinations"]>[1] = () => undefined;

    turn.fence = lease.fence;
    const failedOver = (): void => lease.lose("the database has failed over");
    heads.failovers.add(failedOver);
    lease.lost.addEventListener("abort", () => void end("this instance no longer leads"), { once: true });

    /** Commits pending reports, unless the term is lost, and writes nothing more. Later callers get the reason `why`. */
    async function end(why: string): Promise<void> {
      if (ended !== undefined) return;
      ended = why;
      heads.failovers.delete(failedOver);
      tail.close();
      const last = writer.close(why);
      if (turn.fence === lease.fence) turn.fence = undefined;
      await last;
      connection.close();
    }

    // Nothing listened while the term began.
    if (lease.isOver) {
      await end("this instance no longer leads");
      throw new Unavailable("the lease was lost while its term began");
    }

    const mustLead = (): void => {
      if (ended !== undefined) throw new Unavailable(ended);
    };
    const asked = async <Result>(ask: () => Promise<Result>): Promise<Result> => {
      mustLead();
      return ask();
    };

    async function maintain(): Promise<void> {
      if (ended !== undefined || database.failure !== undefined) return;
      try {
        for (const [name, cursor] of await asked(() => space.release())) moved(name, cursor);
        await appending.refresh();
      } catch (error) {
        // The connection has logged the problem if it was lost or refused, and nothing needs logging after a term.
        const isSaid = database.failure !== undefined || (error instanceof DatabaseError && error.kind === "away");
        if (ended === undefined && !isSaid) throw error;
      }
    }

    const journal: Journal = {
      knows: appending.knows,
      keyCount: appending.keyCount,
      get identity() {
        return state.identity;
      },
      get lastSeq() {
        return heads.current.seq;
      },
      location,
      cluster: deps.cluster,
      lead: deps.lead,
      lost: lease.lost,
      tail,
      async release() {
        await end("this instance no longer leads");
        await lease.release();
      },

      append: (append, committed) =>
        appending.append(append, (batch) => {
          const { poll } = append;
          if (poll !== undefined) state.put(`poll.${poll.type}`, pollCursorOf(poll));
          committed(batch);
        }),
      horizon: (keyClass) => state.get(`horizon.${keyClass}`) ?? { until: 0, streamed: 0 },

      get cursor() {
        return state.cursor;
      },
      get pendingRecords() {
        return destinations.pendingRecords;
      },
      get pendingSince() {
        return ended === undefined ? destinations.pendingSince : undefined;
      },
      get destinations() {
        return ended === undefined ? destinations.accounts : [];
      },
      async useDestinations(wanted, onMoved) {
        mustLead();
        const forgotten = await writer.write((change) => destinations.use(change, wanted, clock()));
        moved = onMoved;
        return forgotten;
      },
      progress: (report, destination = primaryDestination) => writer.report(report, destination),
      get quarantine() {
        mustLead();
        return quarantine;
      },

      redelivery: (name, destination) => state.get(redeliveryKey({ name, destination })),
      planReplay: (...given) => asked(() => space.planReplay(...given)),
      planRetry: (...given) => asked(() => planRetry(quarantined.table, ...given)),
      beginRedelivery: (redelivery) => writer.write((change) => change.set(redeliveryKey(redelivery), redelivery)),
      cancelRedelivery: (name, destination) =>
        writer.write((change) => cancelRedelivery(change, { name, destination }, clock())),

      pollCursor: (type) => state.get(`poll.${type}`),
      setPollCursor: (type, cursor) =>
        writer.write((change) => change.set(`poll.${type}`, cursor && pollCursorOf(cursor))),

      writeSnapshot: (snapshot) =>
        writer.write((change) => {
          for (const [name, blob] of snapshot.blobs) change.setBlob(blobPrefix + name, blob);
          change.set("measured", { measuredSeq: snapshot.measuredSeq });
          minutes.write(change, snapshot);
        }),
      readSnapshot() {
        mustLead();
        return { measuredSeq: state.measuredSeq, blobs: state.snapshot };
      },
      beginSeriesAnew: (at) => writer.write((change) => destinations.beginAnew(change, at)),

      readState(name) {
        mustLead();
        return state.blob(keptPrefix + name);
      },
      async writeState(name, value) {
        if (value.length > maxStateBytes) throw new Unavailable(`${name} takes more than ${maxStateBytes} bytes`);
        await writer.write((change) => change.setBlob(keptPrefix + name, value));
      },

      minutes,
      get space() {
        const view = appending.space;
        const behind = destinations.furthestBehind;
        const isFull = view.refusal?.startsWith("the journal is full") === true;
        const holder = isFull && behind !== undefined ? `; the destination ${behind} is furthest behind` : "";
        return { ...view, refusal: view.refusal === undefined ? undefined : view.refusal + holder };
      },
      get wantsSnapshot() {
        const deliveredSeq = destinations.lowestSeq("required");
        return ended === undefined && deliveredSeq > state.measuredSeq + 1 && space.isShort;
      },
      get loss() {
        return state.loss;
      },
      /** Nothing to settle, because the database guarantees what it holds. */
      settleLoss: async () => mustLead(),
      damaged(reason) {
        if (ended === undefined) logger.error("a row of the journal is not what was written", { reason });
      },
      maintain: () => {
        maintaining ??= maintain().finally(() => {
          maintaining = undefined;
        });
        return maintaining;
      },
      openReader() {
        mustLead();
        return openPostgresReader(location);
      },
      close: deps.close,
    };
    return { journal, end };
  } catch (error) {
    closeAll();
    throw error;
  }
}
