/** Writes one judged batch inside an open transaction: rows, keys, tally and quarantine. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SeenKey } from "../records/identity.ts";
import { judge } from "./judge.ts";
import { pack } from "./pack.ts";
import type { PollCursors } from "./poll-cursors.ts";
import type { Quarantine } from "./quarantine.ts";
import { keyVersion } from "./schema.ts";
import { type KeyClass, type KeyRow, packKeys, type SeenKeys, StagedKeys } from "./seen-keys.ts";
import type { Append, Committed, Tally } from "./types.ts";

/** What a transaction has written and memory must show only once it is committed. */
export interface Staged {
  readonly keys: StagedKeys;
  readonly keyRows: StagedKeyRow[];
}

interface StagedKeyRow {
  readonly keyClass: KeyClass;
  readonly row: KeyRow;
  readonly keys: readonly SeenKey[];
  readonly bits: readonly number[];
}

export class BatchWriter {
  readonly #insertRow: StatementSync;
  readonly #insertKeys: StatementSync;
  readonly #seen: SeenKeys;
  readonly #quarantine: Quarantine;
  readonly #pollCursors: PollCursors;
  readonly #tailnet: number;

  constructor(
    database: DatabaseSync,
    deps: { seen: SeenKeys; quarantine: Quarantine; pollCursors: PollCursors; tailnet: number },
  ) {
    this.#seen = deps.seen;
    this.#quarantine = deps.quarantine;
    this.#pollCursors = deps.pollCursors;
    this.#tailnet = deps.tailnet;
    this.#insertRow = database.prepare(
      "INSERT INTO journal (accepted_at, source, type, tailnet, records, body, flags, tally) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#insertKeys = database.prepare("INSERT INTO keys (seq, type, at, version, packed) VALUES (?, ?, ?, ?, ?)");
  }

  stage(): Staged {
    return { keys: new StagedKeys(this.#seen), keyRows: [] };
  }

  /** Makes what a committed transaction has staged visible. */
  publish({ keyRows }: Staged): void {
    for (const { keyClass, row, keys, bits } of keyRows) this.#seen.addRow(keyClass, row, keys, bits);
  }

  write(append: Append, staged: Staged): Committed {
    const { source, receivedAt, samples, poll } = append;
    const { parts, flags, invalid, tally, keys, keyBits } = judge(append, staged.keys);
    if (append.retries !== undefined && !this.#quarantine.remove(append.retries.id))
      throw new Error(`the quarantined item ${append.retries.id} is gone`);
    let packedTally: Uint8Array | null = pack(JSON.stringify(tally satisfies Tally));
    let lastSeq = 0;
    for (const [place, { type, records, body }] of parts.entries()) {
      const partFlags = flags[place] ?? null;
      lastSeq = Number(
        this.#insertRow.run(receivedAt, source, type, this.#tailnet, records, body, partFlags, packedTally)
          .lastInsertRowid,
      );
      packedTally = null;
    }
    if (parts.length === 0) {
      lastSeq = Number(
        this.#insertRow.run(receivedAt, source, null, this.#tailnet, 0, null, null, packedTally).lastInsertRowid,
      );
    }
    for (const [keyClass, classKeys] of keys) this.#writeKeys(keyClass, classKeys, keyBits, lastSeq, staged);
    for (const { type, reason, detail, text } of invalid) {
      this.#quarantine.add({
        class: "invalid",
        type,
        at: receivedAt,
        source,
        reason,
        detail,
        text,
      });
    }
    for (const text of samples) {
      this.#quarantine.add({
        class: "sample",
        type: "unknown",
        at: receivedAt,
        source,
        reason: "unclassified",
        detail: "no known kind of record",
        text,
      });
    }
    if (poll !== undefined) this.#pollCursors.write(poll);
    return { lastSeq, source, receivedAt, accepted: parts, tally, ...(poll && { poll }) };
  }

  #writeKeys(keyClass: KeyClass, keys: readonly SeenKey[], keyBits: number, seq: number, staged: Staged): void {
    const bits = keys.map(() => keyBits);
    const at = keys.reduce((newest, key) => Math.max(newest, key.at), 0);
    const inserted = this.#insertKeys.run(seq, keyClass, at, keyVersion, packKeys(keys, bits));
    staged.keyRows.push({
      keyClass,
      row: { id: Number(inserted.lastInsertRowid), at, keys: keys.length },
      keys,
      bits,
    });
  }
}
