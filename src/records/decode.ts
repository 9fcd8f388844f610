/** From a record told apart by its shape to a decoded one. */
import { decodeAudit } from "./audit.ts";
import { decodeFlow } from "./flow.ts";
import type { RawRecord, TailscaleRecord } from "./types.ts";
import { decodeWebhook } from "./webhook.ts";

/**
 * Decodes and validates one record.
 * @throws {Defect} when the record must be quarantined.
 */
export function decodeRecord(raw: RawRecord): TailscaleRecord {
  switch (raw.type) {
    case "flow":
      return decodeFlow(raw);
    case "audit":
      return decodeAudit(raw);
    case "webhook":
      return decodeWebhook(raw);
  }
}
