/** Retries a quarantined record: it is processed like a new one, and its line leaves with the commit, or stays as it is. */
import type { Clock } from "../lib/clock.ts";
import type { Journal, QuarantineItem } from "../journal/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { RawRecord } from "../records/types.ts";
import type { Pipeline } from "./index.ts";

/** `missing`: there is no such item. `kept`: nothing has changed, for that reason. */
export type RetryOutcome =
  { readonly kind: "accepted" | "duplicate" | "missing" } | { readonly kind: "kept"; readonly why: string };

/**
 * Retries one quarantined record by its id; resolves once it is on disk.
 * @throws {Unavailable} if the journal cannot accept it now; the record stays.
 */
export type RetryRecord = (id: string) => Promise<RetryOutcome>;

const whyNot: Readonly<Record<Exclude<QuarantineItem["class"], "invalid">, string>> = {
  sample: "a sample is a value of an unknown kind: it can be looked at, and was counted as skipped",
  note: "a note is about something that happened: there is no record in it",
  dead_letter: "a dead letter was accepted already: it can only be exported again",
};

function noRecord(id: string): string {
  return `its text is not a stored record, so no retry can accept it; look at it with \`quarantine show ${id}\`, delete it with \`quarantine purge ${id}\``;
}

export function createRetry(pipeline: Pipeline, journal: Pick<Journal, "quarantine">, clock: Clock): RetryRecord {
  return async (id) => {
    const found = journal.quarantine.read(id);
    if (found === undefined) return { kind: "missing" };
    const { item, texts, isCut } = found;
    if (item.class !== "invalid") return { kind: "kept", why: whyNot[item.class] };
    if (isCut) return { kind: "kept", why: "only the first 64 KiB of its text were kept" };
    const text = texts[0] ?? "";
    let record: RawRecord;
    try {
      if (item.type === "unknown") throw new SyntaxError("no record");
      record = recordOfLine(text, item.type);
    } catch {
      return { kind: "kept", why: noRecord(id) };
    }
    const batch = pipeline.open({ source: item.source, receivedAt: clock() });
    batch.addRecord(record);
    // A record that is still invalid is not appended: it would count as received though nobody has sent it.
    if (batch.defect !== undefined) {
      batch.drop();
      return { kind: "kept", why: `it is invalid again (${batch.defect.reason}): ${batch.defect.message}` };
    }
    const retries = { seq: item.seq, line: Number(id.slice(id.indexOf(".") + 1)), reason: item.reason };
    const { accepted } = await batch.commit(Buffer.byteLength(text), { retries });
    return { kind: accepted > 0 ? "accepted" : "duplicate" };
  };
}
