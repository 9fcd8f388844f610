/** The part of the journal that every instance has, whether it leads or not: it appends what is received. */
import { randomUUID } from "node:crypto";
import type { JournalConfig, JournalDeps } from "../deps.ts";
import type { AppendingJournal, Horizon, KeyClass } from "../journal.ts";
import { fullText, reserveBytes } from "../retention.ts";
import { Database } from "./connection.ts";
import { type HeadRow, headColumns, Heads } from "./head.ts";
import { AppendKeys } from "./keys.ts";
import { ensureIdentity, prepareSchema } from "./prepare.ts";
import { locationOf } from "./rows.ts";
import { quoted } from "./schema.ts";
import { Turn } from "./turn.ts";

/** The journal of an instance before it leads, and the parts from which its leading part is built. */
export type Appending = Awaited<ReturnType<typeof openAppending>>;

/** Result of a look at the database: its head, key counts and horizons. */
interface Look extends HeadRow {
  readonly flow: number;
  readonly others: Readonly<Partial<Record<KeyClass, number>>> | null;
  readonly horizons: Readonly<Record<string, string>> | null;
}

/** Timeouts of an append, and of any other statement. */
const appendMs = 8000;
const lookMs = 5000;

/** The largest usual batch: 1 MiB. */
const maxWantedBytes = 1024 * 1024;

/** How often the database is queried normally, and while it is unavailable. */
const everyMs = 5000;
const whileAwayMs = 500;

/** @throws {Unavailable} if the database cannot be used; the message says what to do. */
export async function openAppending({ state }: JournalConfig, deps: JournalDeps) {
  const { telemetry, logger, clock } = deps;
  const { schema, url, tls, max_bytes: maxBytes } = state;
  const s = quoted(schema);
  const database = new Database(state, logger);
  const looking = database.connect(lookMs, "reads");
  const look = `SELECT ${headColumns(s)}, (SELECT COALESCE(SUM(keys), 0)::bigint FROM ${s}.key_day) AS flow,
      (SELECT json_object_agg(class, n) FROM (SELECT class, COUNT(*) AS n FROM ${s}.other_key GROUP BY class) k) AS others,
      (SELECT json_object_agg(name, convert_from(value, 'UTF8')) FROM ${s}.state WHERE name LIKE 'horizon.%') AS horizons
    FROM ${s}.head`;
  const member = randomUUID();
  const keys = new AppendKeys();
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const opened = async () => {
    await prepareSchema(looking, schema, logger);
    const identity = await ensureIdentity(looking, schema, clock(), logger);
    const [first] = await looking.query<Look>(look);
    return { identity, first: first as Look };
  };
  const { identity, first } = await opened().catch((error: unknown) => {
    looking.close();
    throw error;
  });
  database.isOpen = true;
  let seen = first;
  const heads = new Heads(first);
  heads.failovers.add((rows) => {
    if (rows === 0) logger.warn("the database has failed over, or was restored");
    else
      logger.error(
        "the database has failed over, or was restored, without its last commits: records that senders were told are safe are gone; wait for a standby with synchronous_standby_names",
        { rows },
      );
  });

  const full = (bytes: number): string | undefined => {
    const used = heads.current.used_bytes;
    return used + bytes > maxBytes - reserveBytes ? fullText(used, maxBytes) : undefined;
  };
  /** Bytes that the last refused append needed: until there is space for as much, the next is refused too. */
  let wanted = 0;
  const turn = new Turn({
    database,
    connection: database.connect(appendMs),
    schema: s,
    member,
    keys,
    heads,
    logger,
    admit(bytes) {
      const refusal = full(bytes);
      if (refusal !== undefined) wanted = Math.min(bytes, maxWantedBytes);
      return refusal;
    },
    committed: (seconds) => telemetry.record("tailscale2otel.journal.commit.duration", seconds, {}),
  });

  async function refresh(): Promise<void> {
    const [found] = await looking.query<Look>(look).catch(() => []);
    if (isClosed || found === undefined) return;
    seen = found;
    heads.see(found);
  }

  async function lookAgain(): Promise<void> {
    await refresh();
    if (isClosed) return;
    timer = setTimeout(() => void lookAgain(), database.failure === undefined ? everyMs : whileAwayMs);
    timer.unref();
  }
  timer = setTimeout(() => void lookAgain(), everyMs);
  timer.unref();

  return {
    /** This instance's id among the members, created anew at each start. */
    member,
    database,
    heads,
    turn,
    /** For short queries by any part. */
    looking,
    identity,
    location: locationOf({ url, tls, schema }),
    get lastSeq() {
      return heads.current.seq;
    },
    append: (append, committed) => turn.append(append, committed),
    knows: (keyClass, words, at) => keys.knows(keyClass, words, at),
    keyCount: (keyClass) => (keyClass === "flow" ? seen.flow : (seen.others?.[keyClass] ?? 0)),
    horizon: (keyClass) => horizonIn(seen, keyClass),
    get space() {
      const refusal = isClosed ? "the journal is closed" : (database.failure?.reason ?? turn.refusal ?? full(wanted));
      if (refusal === undefined) wanted = 0;
      return { usedBytes: heads.current.used_bytes, limitBytes: maxBytes, refusal };
    },
    /** Queries the database at once, if possible. */
    refresh,
    /** Commits what is waiting. Nothing more is accepted. */
    async closeTurn(): Promise<void> {
      isClosed = true;
      await turn.close();
    },
    close(): void {
      isClosed = true;
      clearTimeout(timer);
      looking.close();
    },
  } satisfies Omit<AppendingJournal, "cluster" | "lead" | "close"> & Record<string, unknown>;
}

function horizonIn({ horizons }: Look, keyClass: KeyClass): Horizon {
  const stored = horizons?.[`horizon.${keyClass}`];
  return stored === undefined ? { until: 0, streamed: 0 } : (JSON.parse(stored) as Horizon);
}
