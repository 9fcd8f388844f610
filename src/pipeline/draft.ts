/** One batch while it is put together: decode → validate → identify → measure → pack, record by record, until it is appended whole. */
import { type Increments, noIncrements } from "../catalogue/increments.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Journal } from "../journal/index.ts";
import type { Append, AppendPart, Committed, InvalidRecord, PollStep } from "../journal/types.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { flowLogCount } from "../processors/flow.ts";
import { measure } from "../processors/index.ts";
import type { NameOptions } from "../processors/names.ts";
import { decodeRecord } from "../records/decode.ts";
import { Defect } from "../records/defect.ts";
import { eventText } from "../records/envelope.ts";
import { factOfAudit, factOfEvent } from "../records/fact.ts";
import { identify, identifyFact, type IdentityKey, identifyText, type SeenKey } from "../records/identity.ts";
import type { RawRecord, RecordType, SkippedValue, SkipReason, TailscaleRecord } from "../records/types.ts";
import { Ages, type LastEvents } from "./ages.ts";
import { measureLines, partOf, type PartRecord } from "./part.ts";
import type { Samples } from "./samples.ts";
import type { Draft, LogLimit, Origin, Outcome } from "./types.ts";

/** Characters of text in one journal row. Delivery holds a row and its events at once: rows of 4 MiB cost it 50 to 100 MB more. */
const maxPartCharacters = 1024 * 1024;

/** A record's time may be this far ahead of ours before it is counted: whose clock is wrong is not known. */
const maxAheadMs = 5 * 60_000;

export interface DraftDeps {
  readonly journal: Pick<Journal, "append" | "knows" | "forgotten">;
  readonly identityKey: IdentityKey;
  readonly names: NameOptions;
  readonly samples: Samples;
  /** Whether a webhook event is a duplicate where an audit record has told the same. */
  readonly comparesFacts: boolean;
  /** Whether the stream is there to bring what a poll brings. */
  readonly isStreamed: boolean;
  readonly logLimit: LogLimit | undefined;
  readonly telemetry: Telemetry;
  readonly lastEvents: LastEvents;
}

/** The log service's clock may be so far ahead of ours; a sender that claims more gains nothing by it. */
const maxClockLeadMs = 24 * 3_600_000;

/** A part that still takes records. */
interface OpenPart {
  records: PartRecord[];
  increments: Increments;
  characters: number;
}

export class BatchDraft implements Draft {
  readonly #origin: Origin;
  readonly #deps: DraftDeps;
  readonly #open = new Map<RecordType, OpenPart>();
  readonly #parts: AppendPart[] = [];
  readonly #known: { type: RecordType; key: SeenKey }[] = [];
  readonly #invalid: InvalidRecord[] = [];
  readonly #skipped: Partial<Record<SkipReason, number>> = {};
  readonly #sampled: string[] = [];
  readonly #ages = new Ages();
  #types: RecordType | "unknown" | undefined;
  #records = 0;
  #connections = 0;

  constructor(origin: Origin, deps: DraftDeps) {
    this.#origin = origin;
    this.#deps = deps;
  }

  get records(): number {
    return this.#records;
  }

  get connections(): number {
    return this.#connections;
  }

  add(records: readonly RawRecord[]): void {
    for (const raw of records) {
      this.#records++;
      this.#types = this.#types === undefined || this.#types === raw.type ? raw.type : "unknown";
      this.#take(raw);
    }
  }

  skip(values: readonly SkippedValue[]): void {
    for (const { reason, text } of values) {
      this.#records++;
      this.#types = "unknown";
      this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1;
      if (reason === "unclassified" && this.#deps.samples.wants(text)) this.#sampled.push(text);
    }
  }

  async commit(bytes: number, poll?: PollStep): Promise<Outcome> {
    const { logLimit, isStreamed, telemetry, lastEvents } = this.#deps;
    for (const type of this.#open.keys()) this.#seal(type);
    const append: Append = {
      ...this.#origin,
      bytes,
      bytesOf: this.#types ?? "unknown",
      parts: this.#parts,
      known: this.#known,
      skipped: this.#skipped,
      invalid: this.#invalid,
      samples: this.#sampled,
      ...(logLimit !== undefined && { maxLogEvents: logLimit.maxEvents }),
      ...(this.#origin.source === "poll" && isStreamed && { repairs: true }),
      ...(poll !== undefined && { poll }),
    };
    const committed = await this.#deps.journal.append(append);
    this.#ages.tell(this.#origin, telemetry, lastEvents);
    return outcomeOf(committed);
  }

  #take(raw: RawRecord): void {
    const { receivedAt } = this.#origin;
    let record: TailscaleRecord;
    try {
      record = decodeRecord(raw);
    } catch (error) {
      this.#reject(raw, error);
      return;
    }
    if (record.type === "flow") this.#connections += record.connections.length;
    const loggedAt = loggedAtOf(record);
    const key = identify(record, this.#deps.identityKey, agingFrom(receivedAt, loggedAt));
    if (this.#deps.journal.knows(raw.type, key)) {
      this.#known.push({ type: raw.type, key });
      return;
    }
    const part = this.#openPart(raw.type);
    try {
      measure(record, this.#deps.names, part.increments);
    } catch (error) {
      part.increments = measureLines(part.records, raw.type, this.#deps.names);
      this.#reject(raw, new Defect("measure_failed", error instanceof Error ? error.message : String(error)));
      return;
    }
    const isEarly = isAhead(record, receivedAt);
    if (!isEarly) this.#ages.add(record, receivedAt);
    part.records.push({
      line: raw.line,
      key,
      fact: this.#deps.comparesFacts ? this.#factOf(record) : undefined,
      logEvents: this.#logEventsOf(record),
      isAhead: isEarly,
      isUnproven: this.#isUnproven(raw.type, loggedAt),
    });
    part.characters += raw.line.length + 1;
    if (part.characters >= maxPartCharacters) this.#seal(raw.type);
  }

  /** Only those of flow records are limited. */
  #logEventsOf(record: TailscaleRecord): number | undefined {
    const { logLimit } = this.#deps;
    return logLimit === undefined || record.type !== "flow" ? undefined : flowLogCount(record, logLimit.flowLogMode);
  }

  /** A poll does not ask for what is older than the keys, unless nobody else can have brought it. */
  #isUnproven(type: RecordType, loggedAt: number | undefined): boolean {
    if (loggedAt === undefined || this.#origin.source !== "stream") return false;
    return loggedAt <= this.#deps.journal.forgotten(type).until;
  }

  #factOf(record: TailscaleRecord): SeenKey | undefined {
    if (record.type === "flow") return undefined;
    const fact = record.type === "audit" ? factOfAudit(record) : factOfEvent(record);
    return fact && identifyFact(fact, this.#deps.identityKey, this.#origin.receivedAt);
  }

  #reject(raw: RawRecord, error: unknown): void {
    /** An error that is none of the decoders' own is ours; the record must not come back for ever because of it. */
    const { reason, message } = error instanceof Defect ? error : new Defect("decode_error", String(error));
    const key = identifyText(eventText(raw.line), this.#deps.identityKey, this.#origin.receivedAt);
    this.#invalid.push({
      type: raw.type,
      reason,
      detail: message,
      text: raw.line,
      key,
    });
  }

  #openPart(type: RecordType): OpenPart {
    let part = this.#open.get(type);
    if (part === undefined) this.#open.set(type, (part = { records: [], increments: noIncrements(), characters: 0 }));
    return part;
  }

  #seal(type: RecordType): void {
    const part = this.#open.get(type);
    this.#open.delete(type);
    if (part !== undefined && part.records.length > 0)
      this.#parts.push(partOf(type, part.records, part.increments, this.#deps.names));
  }
}

/** When the log service took it, epoch milliseconds: the axis on which the API cuts its windows. */
function loggedAtOf(record: TailscaleRecord): number | undefined {
  if (record.type === "webhook" || record.recorded === undefined) return undefined;
  return millisOfHrTime(record.recorded);
}

/** A key grows old from the later of the two, so that it is there for whoever comes by either clock. */
function agingFrom(receivedAt: number, loggedAt: number | undefined): number {
  if (loggedAt === undefined || loggedAt <= receivedAt) return receivedAt;
  return Math.ceil(Math.min(loggedAt, receivedAt + maxClockLeadMs));
}

function isAhead(record: TailscaleRecord, receivedAt: number): boolean {
  const time = record.type === "flow" ? (record.start ?? record.end) : record.time;
  return time !== undefined && millisOfHrTime(time) > receivedAt + maxAheadMs;
}

function outcomeOf({ accepted, tally }: Committed): Outcome {
  return {
    accepted: accepted.reduce((sum, { records }) => sum + records, 0),
    duplicate: Object.values(tally.duplicates).reduce((sum, records) => sum + records, 0),
    skipped: Object.values(tally.skipped).reduce((sum, records) => sum + records, 0),
    quarantined: tally.quarantined.reduce((sum, { records }) => sum + records, 0),
  };
}
