/** Turns received bytes into committed records: receivers open a batch, fill it, and answer once it is committed; a quarantined record can be retried. */
import type { Config } from "../config/schema.ts";
import type { Journal, QuarantineItem } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import { recordOfLine } from "../records/envelope.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowScanner } from "../records/flow/scanner.ts";
import { Identifier } from "../records/identity.ts";
import type { RawRecord } from "../records/types.ts";
import { Batch, type BatchContext } from "./batch.ts";
import { Samples } from "./quarantine.ts";
import type { LastEvents, Origin } from "./times.ts";

export type { Outcome } from "./append.ts";
export { Batch } from "./batch.ts";

export type PipelineDeps = Pick<
  BatchContext,
  "settings" | "ends" | "edges" | "committed" | "telemetry" | "keepsText"
> & { readonly journal: BatchContext["journal"] & Pick<Journal, "identity"> };

export interface Pipeline {
  open(origin: Origin): Batch;
}

export function createPipeline(config: Config, deps: PipelineDeps): Pipeline {
  const { identitySecret, tailnet } = deps.journal.identity;
  const claims = new ClaimTable();
  const lastEvents: LastEvents = new Map();
  deps.telemetry.observe("tailscale2otel.ingest.last_event_timestamp", () => [...lastEvents.values()]);
  const context: BatchContext = {
    ...deps,
    config,
    claims,
    scanner: new FlowScanner(claims),
    identifier: new Identifier(identitySecret, tailnet),
    samples: new Samples(),
    lastEvents,
  };
  return { open: (origin) => new Batch(origin, context) };
}

/** `missing`: there is no such item. `kept`: nothing has changed, because of `why`. */
export type RetryOutcome =
  { readonly kind: "accepted" | "duplicate" | "missing" } | { readonly kind: "kept"; readonly why: string };

/**
 * Retries one quarantined record by its id: it is processed like a new one, and its line is removed with the commit, or stays as it
 * is. Resolves once that is on disk.
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
    const found = await journal.quarantine.read(id);
    if (found === undefined) return { kind: "missing" };
    const { item, texts, isCut } = found;
    if (item.class !== "invalid") return { kind: "kept", why: whyNot[item.class] };
    if (isCut) return { kind: "kept", why: "only the first 64 KiB of its text were kept" };
    const line = new TextEncoder().encode(texts[0]);
    let record: RawRecord;
    try {
      if (item.type === "unknown") throw new SyntaxError("no record");
      record = recordOfLine(line, item.type);
    } catch {
      return { kind: "kept", why: noRecord(id) };
    }
    const batch = pipeline.open({ source: item.source, receivedAt: clock() });
    batch.addRecord(record);
    // A record that is still invalid is not appended, because it would count as received although nobody has sent it.
    if (batch.defect !== undefined) {
      batch.drop();
      return { kind: "kept", why: `it is invalid again (${batch.defect.reason}): ${batch.defect.message}` };
    }
    const retries = { seq: item.seq, line: Number(id.slice(id.indexOf(".") + 1)), reason: item.reason };
    const { accepted } = await batch.commit(line.length, { retries });
    return { kind: accepted > 0 ? "accepted" : "duplicate" };
  };
}
