/** The journal over PostgreSQL: instances that share a database all accept records; one of them at a time leads. */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import { reasonOf } from "../batch.ts";
import type { JournalConfig, JournalDeps } from "../deps.ts";
import type { AppendingJournal, Journal } from "../journal.ts";
import { openAppending } from "./appending.ts";
import { Membership } from "./lease.ts";
import { quoted } from "./schema.ts";
import { openTerm, type Term } from "./term.ts";

/** Timeout of a renewal of the lease. */
const renewMs = 5000;

/** Pause after a term that could not begin. */
const pauseMs = 500;

/**
 * Opens the journal. `closed` is called once nothing is used any more, also if this throws.
 * @throws {Unavailable} if the database cannot be used; the message says what to do.
 */
export async function openPostgresJournal(
  config: JournalConfig,
  deps: JournalDeps,
  closed: () => void = () => undefined,
): Promise<AppendingJournal> {
  const { logger, instance = { host: "", version: "", adminAddress: "" } } = deps;
  const appending = await openAppending(config, deps).catch((error: unknown) => {
    closed();
    throw error;
  });
  const { schema, lease: leaseMs } = config.state;
  const membership = new Membership({
    connection: appending.database.connect(Math.min(renewMs, leaseMs / 2)),
    looking: appending.looking,
    schema: quoted(schema),
    member: { id: appending.member, ...instance },
    leaseMs,
    heads: appending.heads,
    logger,
  });
  let term: Term | undefined;
  let closing: Promise<void> | undefined;

  function close(): Promise<void> {
    closing ??= (async () => {
      await appending.closeTurn();
      await term?.end("the journal is closed");
      await membership.close();
      appending.close();
      closed();
    })();
    return closing;
  }

  async function lead(signal: AbortSignal): Promise<Journal> {
    for (;;) {
      const lease = await membership.lead(signal);
      try {
        term = await openTerm({ ...deps, config, appending, lease, cluster: membership, lead, close });
        return term.journal;
      } catch (error) {
        await lease.release();
        if (!(error instanceof Unavailable)) throw error;
        logger.warn("this instance cannot lead yet; trying again", { reason: reasonOf(error) });
        await delay(pauseMs, undefined, { signal });
      }
    }
  }

  try {
    await membership.register();
  } catch (error) {
    await close();
    throw error;
  }
  const { identity, location, append, knows, keyCount, horizon } = appending;
  return {
    identity,
    location,
    append,
    knows,
    keyCount,
    horizon,
    get lastSeq() {
      return appending.lastSeq;
    },
    get space() {
      return appending.space;
    },
    cluster: membership,
    lead,
    close,
  };
}
