/** What an operator can do with quarantine, dead letters and delivered logs: list, show, retry, purge and replay. */
import { setImmediate as yieldTurn } from "node:timers/promises";
import type { PrivacySettings } from "../catalogue/logs.ts";
import {
  primaryDestination,
  type QuarantineCount,
  type QuarantineFilter,
  type QuarantineItem,
  type Redelivery,
} from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import { timeText } from "../lib/rfc3339.ts";
import { whyNoDestination } from "./destinations.ts";
import type { RetryRecord } from "../pipeline/index.ts";
import { privacyOf } from "../processors/outgoing.ts";
import { recordTypes } from "../records/types.ts";
import {
  isInProgress,
  type RedeliveryDeps,
  type RedeliveryReport,
  redeliveryReports,
  reportOf,
} from "./redeliveries.ts";

/** The request cannot be carried out; the message says why. */
export class NotPossible extends Error {
  override readonly name = "NotPossible";
}

/** Items on one page of a list, and ids in one request. */
export const maxListed = 1000;

export const itemClasses: readonly QuarantineItem["class"][] = ["invalid", "sample", "note", "dead_letter"];
export const itemTypes: readonly QuarantineItem["type"][] = [...recordTypes, "unknown"];

export interface ItemQuery extends QuarantineFilter {
  readonly limit: number;
  /** Continue after this item. */
  readonly beforeId?: string;
}

/** Items by their ids, or all that match the filter. */
export interface Selection extends QuarantineFilter {
  /** Continue after this item. */
  readonly beforeId?: string;
}

/** An item as it is listed. `detail`: the reason, for a person; for a dead letter, the backend's message. */
export interface ShownItem extends Omit<QuarantineItem, "at" | "seq" | "from"> {
  /** RFC 3339. */
  readonly at: string;
  /** The row of the journal, and the first line in it that belongs to the item. */
  readonly row: number;
  readonly line: number;
}

export interface TimeRange {
  readonly since: number;
  readonly until?: number;
  /** Absent: the primary destination. */
  readonly destination?: string;
}

export interface ItemWithTexts extends ShownItem {
  /** The stored text, or the texts of the first records that the item represents; empty if they cannot be read. */
  readonly texts: readonly string[];
  /** More exists than is shown: only the beginning of the text was stored, or there are more records. */
  readonly isCut: boolean;
}

export interface ItemList {
  /** Counts over all items that match. */
  readonly counts: readonly QuarantineCount[];
  readonly items: readonly ShownItem[];
}

export interface RetryReport {
  readonly accepted: number;
  /** Records that turned out to be duplicates; their items are removed as well. */
  readonly duplicate: number;
  /** Records of dead letters that are queued for export. */
  readonly queued: number;
  /** Items that were not accepted and stay. */
  readonly kept: readonly { readonly id: string; readonly why: string }[];
  /** Ids without an item. */
  readonly missing: readonly string[];
  /** Present if more items may follow this one. */
  readonly nextBeforeId?: string;
}

export interface PurgeReport {
  readonly purged: number;
  /** Dead letters that were selected and stay. */
  readonly keptDeadLetters: number;
  readonly isDone: boolean;
}

/** The same for a running instance and for a journal opened while none runs. Any operation may throw {NotPossible}. */
export type Operations = ReturnType<typeof createOperations>;

export interface OperationsDeps extends RedeliveryDeps {
  readonly retryRecord: RetryRecord;
  readonly privacy: PrivacySettings | undefined;
  readonly clock: Clock;
}

/** Maximum records to retry and items to delete per call. */
const retriedAtOnce = 100;
const purgedAtOnce = 500;

export function createOperations(deps: OperationsDeps) {
  const { journal, privacy, clock } = deps;
  const { quarantine } = journal;
  const clean = privacyOf(privacy).text;

  /** Details may quote the record, so privacy applies to them too. */
  const shown = ({ seq, from, at, detail, ...item }: QuarantineItem): ShownItem => ({
    ...item,
    at: timeText(at),
    detail: clean(detail),
    row: seq,
    line: from,
  });

  let ended: Promise<unknown> = Promise.resolve();

  /** Runs one at a time: two retries of one item would receive it twice, and two replays planned at once would both begin. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = ended.then(work);
    ended = mine.catch(() => undefined);
    return mine;
  }

  /** Plans a replay or retry with a new id, and begins it unless it is empty. */
  async function begin(
    name: Redelivery["name"],
    destination: string,
    plan: (id: number) => Redelivery | Promise<Redelivery>,
  ): Promise<Redelivery | undefined> {
    const why = deps.cannotSend(destination);
    if (why !== undefined) throw new NotPossible(why);
    const known = journal.redelivery(name, destination);
    if (known !== undefined && isInProgress(known)) {
      const hint = name === "replay" ? "; replay --cancel ends it" : "";
      throw new NotPossible(`a ${name} has been in progress since ${timeText(known.id)}${hint}`);
    }
    const planned = await plan(Math.max(clock(), (known?.id ?? 0) + 1));
    if (planned.total === 0) return undefined;
    await journal.beginRedelivery(planned);
    const begun = journal.redelivery(name, destination);
    // It may have been cancelled in the meantime.
    if (begun?.id === planned.id && isInProgress(begun)) deps.redeliver(name, planned, destination);
    return planned;
  }

  /** Queues each for its own destination. Returns how many records were queued for export. */
  async function queueDeadLetters(filter: QuarantineFilter): Promise<number> {
    const all = [primaryDestination, ...journal.destinations.map(({ name }) => name)];
    const wanted = filter.destination === undefined ? all : [filter.destination];
    const of = (destination: string): QuarantineFilter => ({ ...filter, class: "dead_letter", destination });
    const waiting: string[] = [];
    for (const destination of wanted)
      if ((await quarantine.counts(of(destination))).length > 0) waiting.push(destination);
    let queued = 0;
    for (const destination of waiting.length > 0 ? waiting : wanted.slice(0, 1))
      queued += (await begin("retry", destination, (id) => journal.planRetry(of(destination), id)))?.total ?? 0;
    const { destination: _, ...every } = of("");
    if (waiting.length === 0 && filter.destination === undefined && (await quarantine.counts(every)).length > 0)
      throw new NotPossible(
        "these dead letters are of destinations that are not configured any more: purge deletes them",
      );
    return queued;
  }

  async function retryRecords(ids: readonly string[]): Promise<Omit<RetryReport, "queued">> {
    const counts = { accepted: 0, duplicate: 0 };
    const kept: { id: string; why: string }[] = [];
    const missing: string[] = [];
    for (const id of ids) {
      const outcome = await deps.retryRecord(id);
      if (outcome.kind === "kept") kept.push({ id, why: clean(outcome.why) });
      else if (outcome.kind === "missing") missing.push(id);
      else counts[outcome.kind]++;
    }
    return { ...counts, kept, missing };
  }

  /** The dead letters among the ids, with their destinations. Reading a mark decompresses its row, so this yields after each. */
  async function deadLettersAmong(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const id of ids.filter((one) => one.startsWith("m"))) {
      const item = (await quarantine.read(id))?.item;
      if (item?.class === "dead_letter") found.set(id, item.destination ?? primaryDestination);
      await yieldTurn();
    }
    return found;
  }

  async function retry({ ids, beforeId, ...filter }: Selection): Promise<RetryReport> {
    if (ids !== undefined) {
      const destinations = await deadLettersAmong(ids);
      const strays = [...destinations].flatMap(([id, destination]) => {
        const why = whyNoDestination(journal, destination);
        return why === undefined ? [] : [{ id, why }];
      });
      const waiting = [...destinations.keys()].filter((id) => strays.every((stray) => stray.id !== id));
      const queued = waiting.length === 0 ? 0 : await queueDeadLetters({ ids: waiting });
      const { kept, ...retried } = await retryRecords(ids.filter((id) => !destinations.has(id)));
      return { ...retried, kept: [...kept, ...strays], queued };
    }
    if (filter.class === "dead_letter") return { ...(await retryRecords([])), queued: await queueDeadLetters(filter) };
    if (filter.class !== "invalid")
      throw new NotPossible("only the classes invalid and dead_letter can be retried: select one of them");
    const page = await quarantine.page(filter, {
      limit: retriedAtOnce,
      ...(beforeId === undefined ? {} : { beforeId }),
    });
    const last = page.length === retriedAtOnce ? page.at(-1) : undefined;
    const retried = await retryRecords(page.map(({ id }) => id));
    return { ...retried, queued: 0, ...(last === undefined ? {} : { nextBeforeId: last.id }) };
  }

  async function purge({ ids, ...filter }: Selection, deadLetters: "keep" | "delete"): Promise<PurgeReport> {
    if (ids !== undefined) {
      const kept = deadLetters === "keep" ? await deadLettersAmong(ids) : new Map<string, string>();
      const purged = await quarantine.remove(ids.filter((id) => !kept.has(id)));
      return { purged, keptDeadLetters: kept.size, isDone: true };
    }
    if (filter.class === "dead_letter" && deadLetters === "keep")
      throw new NotPossible("dead letters hold accepted records that exist nowhere else; to delete them, add --yes");
    for (const itemClass of filter.class === undefined ? itemClasses : [filter.class]) {
      if (itemClass === "dead_letter" && deadLetters === "keep") continue;
      const page = await quarantine.page({ ...filter, class: itemClass }, { limit: purgedAtOnce });
      const purged = page.length === 0 ? 0 : await quarantine.remove(page.map(({ id }) => id));
      if (purged > 0) return { purged, keptDeadLetters: 0, isDone: false };
    }
    const left = filter.class === undefined ? await quarantine.counts({ ...filter, class: "dead_letter" }) : [];
    return { purged: 0, keptDeadLetters: left.reduce((sum, { items }) => sum + items, 0), isDone: true };
  }

  return {
    /** One page, newest first. */
    async list({ limit, beforeId, ...filter }: ItemQuery): Promise<ItemList> {
      const items = await quarantine.page(filter, { limit, ...(beforeId === undefined ? {} : { beforeId }) });
      return { counts: await quarantine.counts(filter), items: items.map(shown) };
    },
    /** One item with its texts, as far as `privacy` shows them. */
    async show(id: string): Promise<ItemWithTexts> {
      const found = await quarantine.read(id);
      if (found === undefined) throw new NotPossible(`there is no item ${id}`);
      return { ...shown(found.item), texts: found.texts.map(clean), isCut: found.isCut };
    },
    /** One page of the selection; call again with `nextBeforeId`. */
    retry: (selection: Selection): Promise<RetryReport> => inTurn(() => retry(selection)),
    /** One page of the selection; call again until it is done. */
    purge,
    /** Exports again the delivered records that were received in that time range (epoch milliseconds). */
    replay: ({ since, until = clock(), destination = primaryDestination }: TimeRange): Promise<RedeliveryReport> =>
      inTurn(async () => {
        const plan = (id: number) => journal.planReplay({ since, until }, id, destination);
        const begun = await begin("replay", destination, plan);
        if (begun !== undefined) return reportOf(begun, deps);
        throw new NotPossible("the journal holds nothing that was delivered in that time (state.retention)");
      }),
    async cancel(name: Redelivery["name"], destination = primaryDestination): Promise<RedeliveryReport> {
      const why = whyNoDestination(journal, destination);
      if (why !== undefined) throw new NotPossible(why);
      const isCancelled = await journal.cancelRedelivery(name, destination);
      deps.redeliver(name, undefined, destination);
      const known = journal.redelivery(name, destination);
      if (!isCancelled || known === undefined) throw new NotPossible(`no ${name} is in progress`);
      return reportOf(known, deps);
    },
    /** The current or last redelivery of each name. */
    redeliveries: async (): Promise<readonly RedeliveryReport[]> => redeliveryReports(deps),
  };
}
