/** What an operator can do with quarantine, dead letters and delivered logs: look, retry, purge, replay. Over an open journal. */
import { setImmediate as othersTurn } from "node:timers/promises";
import type { PrivacySettings } from "../catalogue/logs.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Journal, MarkFilter, MarkReason, Redelivery } from "../journal/index.ts";
import type { RetryRecord } from "../pipeline/retry.ts";
import { privacyOf } from "../processors/privacy.ts";
import {
  itemClasses,
  type ItemList,
  type ItemQuery,
  type ItemWithTexts,
  type KeptItem,
  NotPossible,
  type PurgeReport,
  redeliveryNames,
  type RedeliveryReport,
  reportOf,
  type RetryReport,
  type Selection,
  shownItem,
} from "./kept-types.ts";

/** The same for a running instance and for a journal that was opened while none runs. */
export interface Kept {
  /** One page, newest first. */
  list(query: ItemQuery): Promise<ItemList>;
  /** One item with its texts, as far as `privacy` shows them. @throws {NotPossible} if there is no such item. */
  show(id: string): Promise<ItemWithTexts>;
  /** One page of the selection; call again with `nextBeforeId`. @throws {NotPossible} */
  retry(selection: Selection): Promise<RetryReport>;
  /** One page of the selection; call again until it is done. @throws {NotPossible} */
  purge(selection: Selection, deadLetters: "keep" | "delete"): Promise<PurgeReport>;
  /** Delivers again what was received in that time, epoch milliseconds, and was delivered. @throws {NotPossible} */
  replay(range: { readonly since: number; readonly until?: number }): Promise<RedeliveryReport>;
  /** @throws {NotPossible} if none of that name is in progress. */
  cancel(name: Redelivery["name"]): Promise<RedeliveryReport>;
  /** The current or the last one of each name. */
  redeliveries(): Promise<readonly RedeliveryReport[]>;
}

export interface KeptDeps {
  readonly journal: Journal;
  readonly retryRecord: RetryRecord;
  readonly privacy: PrivacySettings | undefined;
  readonly clock: Clock;
  /** Why nothing can be exported, if so. */
  readonly cannotSend: () => string | undefined;
  /** Begins to export, or ends it. */
  readonly redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined) => void;
  /** Why it is not getting on at the moment, if so. */
  readonly troubleOf: (name: Redelivery["name"]) => string | undefined;
}

/** Records that one call retries, and items that one call deletes. */
const retriedAtOnce = 100;
const purgedAtOnce = 500;

/** Marks that are dead letters; the others are notes about records that were delivered. */
const deadLetterReasons: readonly MarkReason[] = ["rejected", "too_large", "failing", "internal"];

export function createKept(deps: KeptDeps): Kept {
  const { journal, privacy, clock } = deps;
  const { quarantine } = journal;
  const clean = privacy === undefined ? (text: string) => text : privacyOf(privacy).text;
  let isPlanning = false;

  /** One after the other: two retries of one item would be two receipts. */
  let lastRetry: Promise<unknown> = Promise.resolve();

  const report = (redelivery: Redelivery): RedeliveryReport => reportOf(redelivery, deps.troubleOf(redelivery.name));

  function begin(redelivery: Redelivery): RedeliveryReport {
    journal.beginRedelivery(redelivery);
    deps.redeliver(redelivery.name, redelivery);
    return report(redelivery);
  }

  function refuseIfBusy(name: Redelivery["name"]): void {
    const why = deps.cannotSend();
    if (why !== undefined) throw new NotPossible(why);
    const known = journal.redelivery(name);
    if (known === undefined || !isInProgress(known)) return;
    const hint = name === "replay" ? "; replay --cancel ends it" : "";
    throw new NotPossible(`a ${name} has been in progress since ${new Date(known.id).toISOString()}${hint}`);
  }

  /** An id that no earlier one of that name has. */
  function newId(name: Redelivery["name"]): number {
    return Math.max(clock(), (journal.redelivery(name)?.id ?? 0) + 1);
  }

  /** Queues dead letters for export. Returns how many records. */
  function queueDeadLetters(marks: MarkFilter): number {
    refuseIfBusy("retry");
    const plan = journal.planRetry({ destination: "logs", why: deadLetterReasons, ...marks }, newId("retry"));
    if (plan.total > 0) begin(plan);
    return plan.total;
  }

  async function retryRecords(ids: readonly string[]): Promise<Omit<RetryReport, "queued">> {
    const counts = { accepted: 0, duplicate: 0 };
    const kept: KeptItem[] = [];
    const missing: string[] = [];
    for (const id of ids) {
      const outcome = await deps.retryRecord(id);
      if (outcome.kind === "kept") kept.push({ id, why: clean(outcome.why) });
      else if (outcome.kind === "missing") missing.push(id);
      else counts[outcome.kind]++;
    }
    return { ...counts, kept, missing };
  }

  /** Marks among the ids that are dead letters. Reading one inflates its row, so others get a turn after each. */
  async function deadLettersAmong(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const id of ids.filter(isMarkId)) {
      if (quarantine.read(id)?.item.class === "dead_letter") found.add(id);
      await othersTurn();
    }
    return found;
  }

  async function retryItems(ids: readonly string[]): Promise<RetryReport> {
    const deadLetters = await deadLettersAmong(ids);
    const queued = deadLetters.size === 0 ? 0 : queueDeadLetters({ ids: [...deadLetters].map(numberOfMark) });
    return { ...(await retryRecords(ids.filter((id) => !deadLetters.has(id)))), queued };
  }

  async function retry({ ids, beforeId, ...filter }: Selection): Promise<RetryReport> {
    if (ids !== undefined) return retryItems(ids);
    if (filter.class === "dead_letter") {
      const marks = marksOf(filter);
      return {
        accepted: 0,
        duplicate: 0,
        kept: [],
        missing: [],
        queued: marks === undefined ? 0 : queueDeadLetters(marks),
      };
    }
    if (filter.class !== "invalid")
      throw new NotPossible("only the classes invalid and dead_letter can be retried: select one of them");
    const page = quarantine.page(filter, { limit: retriedAtOnce, ...(beforeId === undefined ? {} : { beforeId }) });
    const last = page.length === retriedAtOnce ? page.at(-1) : undefined;
    const retried = await retryRecords(page.map(({ id }) => id));
    return { ...retried, queued: 0, ...(last === undefined ? {} : { nextBeforeId: last.id }) };
  }

  async function purgeItems(ids: readonly string[], deadLetters: "keep" | "delete"): Promise<PurgeReport> {
    const kept = deadLetters === "keep" ? await deadLettersAmong(ids) : new Set<string>();
    const purged = quarantine.remove(ids.filter((id) => !kept.has(id)));
    return { purged, keptDeadLetters: kept.size, isDone: true };
  }

  async function purge(selection: Selection, deadLetters: "keep" | "delete"): Promise<PurgeReport> {
    const { ids, beforeId: _, ...filter } = selection;
    if (ids !== undefined) return purgeItems(ids, deadLetters);
    if (filter.class === "dead_letter" && deadLetters === "keep")
      throw new NotPossible("dead letters were accepted: they are deleted only with --yes");
    const classes = filter.class === undefined ? itemClasses : [filter.class];
    for (const itemClass of classes) {
      if (itemClass === "dead_letter" && deadLetters === "keep") continue;
      const page = quarantine.page({ ...filter, class: itemClass }, { limit: purgedAtOnce });
      const purged = page.length === 0 ? 0 : quarantine.remove(page.map(({ id }) => id));
      if (purged > 0) return { purged, keptDeadLetters: 0, isDone: false };
    }
    const left = filter.class === undefined ? quarantine.counts({ ...filter, class: "dead_letter" }) : [];
    return { purged: 0, keptDeadLetters: left.reduce((sum, { items }) => sum + items, 0), isDone: true };
  }

  return {
    async list({ limit, beforeId, ...filter }) {
      const items = quarantine.page(filter, { limit, ...(beforeId === undefined ? {} : { beforeId }) });
      return { counts: quarantine.counts(filter), items: items.map((item) => shownItem(item, clean)) };
    },
    async show(id) {
      const found = quarantine.read(id);
      if (found === undefined) throw new NotPossible(`there is no item ${id}`);
      return { ...shownItem(found.item, clean), texts: found.texts.map(clean), isCut: found.isCut };
    },
    retry(selection) {
      const mine = lastRetry.then(() => retry(selection));
      lastRetry = mine.catch(() => undefined);
      return mine;
    },
    purge,
    async replay({ since, until = clock() }) {
      if (isPlanning) throw new NotPossible("a replay is being prepared");
      refuseIfBusy("replay");
      isPlanning = true;
      try {
        const plan = await journal.planReplay({ since, until }, newId("replay"));
        if (plan.total === 0)
          throw new NotPossible("the journal holds nothing that was delivered in that time (state.retention)");
        return begin(plan);
      } finally {
        isPlanning = false;
      }
    },
    async cancel(name) {
      deps.redeliver(name, undefined);
      const isCancelled = journal.cancelRedelivery(name);
      const known = journal.redelivery(name);
      if (!isCancelled || known === undefined) throw new NotPossible(`no ${name} is in progress`);
      return report(known);
    },
    redeliveries: async () => redeliveryReports(deps),
  };
}

/** Resumes what was in progress when the program ended, or was asked for since. */
export function resumeRedeliveries({ journal, cannotSend, redeliver }: KeptDeps, logger: Logger): void {
  const why = cannotSend();
  for (const name of redeliveryNames) {
    const redelivery = journal.redelivery(name);
    if (redelivery === undefined || !isInProgress(redelivery)) continue;
    if (why === undefined) {
      redeliver(name, redelivery);
      continue;
    }
    journal.cancelRedelivery(name);
    logger.warn(`the ${name} that was in progress is cancelled`, { reason: why });
  }
}

/** The current or the last one of each name. */
export function redeliveryReports({
  journal,
  troubleOf,
}: Pick<KeptDeps, "journal" | "troubleOf">): readonly RedeliveryReport[] {
  return redeliveryNames.flatMap((name) => {
    const known = journal.redelivery(name);
    return known === undefined ? [] : [reportOf(known, isInProgress(known) ? troubleOf(name) : undefined)];
  });
}

function isInProgress({ endedAt }: Redelivery): boolean {
  return endedAt === undefined;
}

function isMarkId(id: string): boolean {
  return id.startsWith("m");
}

function numberOfMark(id: string): number {
  return Number(id.slice(1));
}

/** The dead letters that match a filter; nothing if no mark can. */
function marksOf({ reason, type, before }: Omit<Selection, "ids" | "beforeId" | "class">): MarkFilter | undefined {
  const why = deadLetterReasons.filter((known) => reason === undefined || known === reason);
  if (why.length === 0 || type === "unknown") return undefined;
  return { why, ...(type === undefined ? {} : { type }), ...(before === undefined ? {} : { before }) };
}
