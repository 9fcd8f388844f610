/** What an operator can do with what was kept: look at it, take it in or send it once more, let it go. Over an open journal. */
import type { PrivacySettings } from "../catalogue/logs.ts";
import type { Journal } from "../journal/index.ts";
import { type ItemFilter, type KeptItem, quarantineClasses } from "../journal/quarantine-items.ts";
import { isOver, type LetterFilter, type Redelivery, type RedeliveryName } from "../journal/redelivery.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { RetryRecord } from "../pipeline/retry.ts";
import { privacyOf } from "../processors/privacy.ts";
import {
  type ItemList,
  type ItemQuery,
  type KeptBack,
  NotPossible,
  type PurgeReport,
  type RedeliveryReport,
  reportOf,
  type RetryReport,
  type Selection,
  shownItem,
  type ShownItem,
} from "./kept-types.ts";

/** The same over a running instance and over a journal that was opened for it. */
export interface Kept {
  /** A page, newest first. */
  list(query: ItemQuery): Promise<ItemList>;
  /** One item with its text, as far as `privacy` shows it. @throws {NotPossible} where there is none. */
  show(id: number): Promise<ShownItem>;
  /** One page of the selection; call again with `nextAfter`. @throws {NotPossible} */
  retry(selection: Selection): Promise<RetryReport>;
  /** One page of the selection; call again until it is done. @throws {NotPossible} */
  purge(selection: Selection, deadLetters: "keep" | "delete"): Promise<PurgeReport>;
  /** Sends what was delivered in that time once more. @throws {NotPossible} */
  replay(range: { readonly since: number; readonly until?: number }): Promise<RedeliveryReport>;
  /** @throws {NotPossible} where none is under way. */
  cancel(name: RedeliveryName): Promise<RedeliveryReport>;
  /** Those that are under way, and the last that were. */
  redeliveries(): Promise<readonly RedeliveryReport[]>;
}

export interface KeptDeps {
  readonly journal: Journal;
  readonly retryRecord: RetryRecord;
  readonly privacy: PrivacySettings | undefined;
  readonly clock: Clock;
  /** Why nothing can be sent, if so. */
  readonly cannotSend: () => string | undefined;
  /** Begins to send, or ends it. */
  readonly redeliver: (name: RedeliveryName, redelivery: Redelivery | undefined) => void;
  /** Why it is not getting through at the moment, if so. */
  readonly troubleOf: (name: RedeliveryName) => string | undefined;
}

/** Records that are taken in, or items that are deleted, before others get a turn. */
const retriedAtOnce = 100;
const purgedAtOnce = 500;

export function createKept(deps: KeptDeps): Kept {
  const { journal, privacy, clock } = deps;
  const { quarantine, redeliveries } = journal;
  const clean = privacy === undefined ? (text: string) => text : privacyOf(privacy).text;
  let isPlanning = false;

  /** One after the other: two retries of one item would be two receipts. */
  let lastRetry: Promise<unknown> = Promise.resolve();

  const report = (redelivery: Redelivery): RedeliveryReport => reportOf(redelivery, deps.troubleOf(redelivery.name));

  function begin(redelivery: Redelivery): RedeliveryReport {
    redeliveries.begin(redelivery);
    deps.redeliver(redelivery.name, redelivery);
    return report(redelivery);
  }

  function refuseWhereBusy(name: RedeliveryName): void {
    const why = deps.cannotSend();
    if (why !== undefined) throw new NotPossible(why);
    const known = redeliveries.get(name);
    if (known === undefined || isOver(known)) return;
    const hint = name === "replay" ? "; replay --cancel ends it" : "";
    throw new NotPossible(`a ${name} is under way since ${new Date(known.id).toISOString()}${hint}`);
  }

  /** An identifier that no earlier one of that name has. */
  function newId(name: RedeliveryName): number {
    return Math.max(clock(), (redeliveries.get(name)?.id ?? 0) + 1);
  }

  /** Hands dead letters over to be exported. How many. */
  function retryLetters(letters: LetterFilter): number {
    refuseWhereBusy("retry");
    const plan = redeliveries.planRetry(letters, newId("retry"));
    if (plan.total > 0) begin(plan);
    return plan.total;
  }

  async function retryItems(items: readonly (KeptItem | number)[]): Promise<Omit<RetryReport, "queued" | "nextAfter">> {
    const counts = { accepted: 0, duplicate: 0 };
    const kept: KeptBack[] = [];
    for (const item of items) {
      if (typeof item === "number") {
        kept.push({ id: item, why: "there is no such item" });
        continue;
      }
      const outcome = await deps.retryRecord(item);
      if (outcome.kind === "kept") kept.push({ id: item.id, why: clean(outcome.why) });
      else counts[outcome.kind]++;
    }
    return { ...counts, kept };
  }

  async function retry(selection: Selection): Promise<RetryReport> {
    const { ids, after = 0, ...filter } = selection;
    if (ids !== undefined) {
      const items = ids.map((id) => quarantine.read(id) ?? id);
      const letters = items.flatMap((item) =>
        typeof item !== "number" && item.class === "dead_letter" ? [item.id] : [],
      );
      const queued = letters.length === 0 ? 0 : retryLetters({ ids: letters });
      const others = items.filter((item) => typeof item === "number" || item.class !== "dead_letter");
      return { ...(await retryItems(others)), queued };
    }
    if (filter.class === "dead_letter") {
      const { class: _, before, ...letters } = filter;
      if (before !== undefined) throw new NotPossible("dead letters are retried by number, type or reason, not by age");
      return { accepted: 0, duplicate: 0, kept: [], queued: retryLetters(letters) };
    }
    if (filter.class !== "invalid")
      throw new NotPossible("only items of the classes invalid and dead_letter can be retried: name one of them");
    const page = quarantine.idsAfter(filter, after, retriedAtOnce);
    const nextAfter = page.length === retriedAtOnce ? page.at(-1) : undefined;
    const taken = await retryItems(page.map((id) => quarantine.read(id) ?? id));
    return { ...taken, queued: 0, ...(nextAfter === undefined ? {} : { nextAfter }) };
  }

  function purge(selection: Selection, deadLetters: "keep" | "delete"): PurgeReport {
    const { ids, after: _, ...filter } = selection;
    if (ids !== undefined) {
      const found = ids.flatMap((id) => quarantine.read(id) ?? []);
      const kept = deadLetters === "keep" ? found.filter((item) => item.class === "dead_letter") : [];
      const leaving = found.filter((item) => !kept.includes(item)).map(({ id }) => id);
      return { purged: quarantine.remove(leaving), keptDeadLetters: kept.length, isDone: true };
    }
    if (filter.class === "dead_letter" && deadLetters === "keep")
      throw new NotPossible("dead letters were accepted: they are deleted only with --yes");
    const classes = filter.class === undefined ? quarantineClasses : [filter.class];
    for (const itemClass of classes) {
      if (itemClass === "dead_letter" && deadLetters === "keep") continue;
      const page = quarantine.idsAfter({ ...filter, class: itemClass }, 0, purgedAtOnce);
      if (page.length > 0) return { purged: quarantine.remove(page), keptDeadLetters: 0, isDone: false };
    }
    const left = filter.class === undefined ? quarantine.counts({ ...filter, class: "dead_letter" }) : [];
    return { purged: 0, keptDeadLetters: left.reduce((sum, { items }) => sum + items, 0), isDone: true };
  }

  return {
    async list({ limit, beforeId, ...filter }: ItemQuery): Promise<ItemList> {
      const items = quarantine.page(filter satisfies ItemFilter, {
        limit,
        ...(beforeId === undefined ? {} : { beforeId }),
      });
      return { counts: quarantine.counts(filter), items: items.map((item) => shownItem(item, clean)) };
    },
    async show(id) {
      const item = quarantine.read(id);
      if (item === undefined) throw new NotPossible(`there is no item ${id}`);
      const text = item.text === undefined ? {} : { text: clean(item.text) };
      return { ...shownItem(item, clean), ...text, isCut: item.isCut };
    },
    retry(selection) {
      const mine = lastRetry.then(() => retry(selection));
      lastRetry = mine.catch(() => undefined);
      return mine;
    },
    purge: async (selection, deadLetters) => purge(selection, deadLetters),
    async replay({ since, until = clock() }) {
      if (isPlanning) throw new NotPossible("a replay is being prepared");
      refuseWhereBusy("replay");
      isPlanning = true;
      try {
        const plan = await redeliveries.planReplay({ since, until }, journal.cursor.seq, newId("replay"));
        if (plan.total === 0)
          throw new NotPossible("nothing that was delivered in that time is kept (state.retention)");
        return begin(plan);
      } finally {
        isPlanning = false;
      }
    },
    async cancel(name) {
      deps.redeliver(name, undefined);
      const isCancelled = redeliveries.cancel(name, clock());
      const known = redeliveries.get(name);
      if (!isCancelled || known === undefined) throw new NotPossible(`no ${name} is under way`);
      return report(known);
    },
    redeliveries: async () => redeliveryReports(deps),
  };
}

/** Goes on with what was being sent once more when the program ended, or was asked for since. */
export function resumeRedeliveries(
  { journal: { redeliveries }, clock, cannotSend, redeliver }: KeptDeps,
  logger: Logger,
): void {
  const why = cannotSend();
  for (const redelivery of redeliveries.running) {
    const { name } = redelivery;
    if (why === undefined) {
      redeliver(name, redelivery);
      continue;
    }
    redeliveries.cancel(name, clock());
    logger.warn(`a ${name} was under way and is cancelled: ${why}`);
  }
}

/** Those of both names that are under way, and the last that were. */
export function redeliveryReports({
  journal: { redeliveries },
  troubleOf,
}: Pick<KeptDeps, "journal" | "troubleOf">): readonly RedeliveryReport[] {
  return (["replay", "retry"] as const).flatMap((name) => {
    const known = redeliveries.get(name);
    return known === undefined ? [] : [reportOf(known, isOver(known) ? undefined : troubleOf(name))];
  });
}
