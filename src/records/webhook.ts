/** Decodes webhook events, and brings each into its stored form. Types are open, and so is what `data` holds. */
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { Defect } from "./defect.ts";
import { oneLine } from "./json.ts";
import { checkDepth, objectMember, stringMember, wrongType } from "./members.ts";
import type { JsonObject, RawRecord, WebhookRecord } from "./types.ts";

/** Levels of nesting in one event. Documented events have two, and policies travel as text. */
const maxDepth = 128;

/** One event of a delivery as a record, `text` being its own text. */
export function webhookRecord(value: JsonObject, text: string): RawRecord {
  return { type: "webhook", value, line: oneLine(`{"event":${text}}`), time: undefined, recorded: undefined };
}

/**
 * The record of an event's parsed JSON. A time that is none is left out: an event matters more than its time.
 * @throws {Defect} `decode_error` when a member has not the type that the format gives it, or `type` is missing.
 */
export function decodeWebhook({ value }: Pick<RawRecord, "value">): WebhookRecord {
  const eventType = stringMember(value, "type");
  if (eventType === "") throw new Defect("decode_error", "type is missing");
  const version = value["version"] ?? undefined;
  if (version !== undefined && typeof version !== "number") throw wrongType("version", "a number", version);
  const data = objectMember(value, "data") ?? {};
  const record: WebhookRecord = {
    type: "webhook",
    time: parseRfc3339(stringMember(value, "timestamp")),
    version,
    eventType,
    tailnet: stringMember(value, "tailnet"),
    message: stringMember(value, "message"),
    data,
    event: value,
  };
  checkDepth("the event", value, maxDepth);
  return record;
}
