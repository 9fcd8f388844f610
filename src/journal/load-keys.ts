/** The seen keys as they are after a start: what lies on disk, in memory. */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../lib/logger.ts";
import { readForgotten } from "./retention.ts";
import { type KeyClass, keyClasses, type KeyLimits, SeenKeys, unpackKeys } from "./seen-keys.ts";

/** All keys that can be read. A damaged row is passed over, with a warning, and moves the horizon. */
export function loadKeys(
  database: DatabaseSync,
  limits: Readonly<Record<KeyClass, KeyLimits>>,
  logger: Logger,
): SeenKeys {
  const seen = new SeenKeys(limits);
  for (const keyClass of keyClasses) {
    const forgotten = readForgotten(database, keyClass);
    if (forgotten !== undefined) seen.noteForgotten(keyClass, forgotten);
  }
  const next = database.prepare("SELECT id, type, at, packed FROM keys WHERE id > ? ORDER BY id LIMIT 256");
  let last = 0;
  while (true) {
    const rows = next.all(last) as {
      id: number;
      type: string;
      at: number;
      packed: Uint8Array;
    }[];
    if (rows.length === 0) return seen;
    for (const { id, type, at, packed } of rows) {
      last = id;
      const keyClass = keyClasses.find((known) => known === type);
      try {
        if (keyClass === undefined) throw new TypeError(`no class of keys is named ${type}`);
        const { keys, bits } = unpackKeys(packed, at);
        seen.addRow(keyClass, { id, at, keys: keys.length }, keys, bits);
      } catch (error) {
        for (const lost of keyClass === undefined ? keyClasses : [keyClass])
          seen.noteForgotten(lost, { until: at, streamed: at });
        logger.warn("a row of seen keys is damaged and was passed over", {
          row: id,
          reason: String(error),
        });
      }
    }
  }
}
