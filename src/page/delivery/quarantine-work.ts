/** Retries and deletes quarantine items page by page and reports progress; the work continues when the view changes. */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { PurgeReport, RetryReport, Selection } from "../../admin/operations.ts";
import { post, troubleOf } from "../api.ts";
import { counted } from "../format.ts";

export interface Work {
  readonly isRunning: boolean;
  /** The result so far, for people. */
  readonly text: string;
  /** Items that stay in quarantine, with the reason. */
  readonly kept: RetryReport["kept"];
  /** Why the work ended early. */
  readonly trouble?: string;
}

const current = signal<Work | undefined>(undefined);

/** The current or last work; only one runs at a time. */
export const work: ReadonlySignal<Work | undefined> = current;

/** Clears the result of finished work. */
export function dismissWork(): void {
  if (current.peek()?.isRunning !== true) current.value = undefined;
}

/** Stops after the page in progress. */
export function stopWork(): void {
  stop.abort();
}

let stop = new AbortController();

type Ask = <Answer>(path: string, body: object) => Promise<Answer>;

const shownKept = 20;

/** Retries the selections in turn. Resolves when all is done; failures are reported in `work`. */
export async function retryAll(selections: readonly Selection[], ask: Ask = post): Promise<void> {
  const sums = { accepted: 0, duplicate: 0, queued: 0, kept: 0, missing: 0 };
  const kept: RetryReport["kept"][number][] = [];
  await run(
    "Retrying",
    async (report) => {
      for (const selection of selections) {
        if (stop.signal.aborted) return;
        let beforeId: string | undefined = selection.beforeId;
        do {
          const from = beforeId === undefined ? {} : { beforeId };
          const page: RetryReport = await ask("/api/v1/quarantine/retry", { ...selection, ...from });
          sums.accepted += page.accepted;
          sums.duplicate += page.duplicate;
          sums.queued += page.queued;
          sums.kept += page.kept.length;
          sums.missing += page.missing.length;
          kept.push(...page.kept.slice(0, shownKept - kept.length));
          beforeId = page.nextBeforeId;
          report();
        } while (beforeId !== undefined && !stop.signal.aborted);
      }
    },
    () => ({ text: retryText(sums), kept }),
  );
}

/** Deletes the whole selection, dead letters only if `deadLetters` says so. */
export async function purgeAll(selection: Selection, deadLetters: "keep" | "delete", ask: Ask = post): Promise<void> {
  let purged = 0;
  let keptDeadLetters = 0;
  await run(
    "Deleting",
    async (report) => {
      for (let isDone = false; !isDone && !stop.signal.aborted; report()) {
        const page: PurgeReport = await ask("/api/v1/quarantine/purge", { ...selection, deadLetters });
        purged += page.purged;
        ({ keptDeadLetters, isDone } = page);
      }
    },
    () => {
      const left = keptDeadLetters === 0 ? "" : `; ${counted(keptDeadLetters, "dead letter")} kept`;
      return { text: `${counted(purged, "item")} deleted${left}`, kept: [] };
    },
  );
}

/** Worded like the output of the command. */
export function retryText(
  sums: Readonly<Record<"accepted" | "duplicate" | "queued" | "kept" | "missing", number>>,
): string {
  const { accepted, duplicate, queued, kept, missing } = sums;
  const isOnlyQueued = accepted + duplicate + kept === 0 && queued + missing > 0;
  return [
    ...(isOnlyQueued ? [] : [`${accepted} accepted, ${duplicate} duplicate, ${kept} still in quarantine`]),
    ...(queued === 0 ? [] : [`${counted(queued, "record")} queued for export`]),
    ...(missing === 0 ? [] : [`${counted(missing, "item")} no longer there`]),
  ].join("; ");
}

async function run(
  verb: string,
  steps: (report: () => void) => Promise<void>,
  result: () => Pick<Work, "text" | "kept">,
): Promise<void> {
  if (current.peek()?.isRunning === true) return;
  const report = (): void => {
    const { text, kept } = result();
    current.value = { isRunning: true, text: `${verb}: ${text}`, kept };
  };
  stop = new AbortController();
  const { text: nothing } = result();
  current.value = { isRunning: true, text: `${verb}…`, kept: [] };
  try {
    await steps(report);
    current.value = { isRunning: false, ...result(), ...(stop.signal.aborted && { trouble: "stopped" }) };
  } catch (error) {
    const { text, kept } = result();
    current.value = {
      isRunning: false,
      text: text === nothing ? "Nothing was done" : text,
      kept,
      trouble: troubleOf(error),
    };
  }
}
