/** From the bytes of a delivery to its events. */
import { Buffer } from "node:buffer";
import { Refusal } from "../../errors.ts";
import type { Body } from "../../http/body.ts";
import { Defect } from "../../records/types.ts";
import { elementTexts } from "../../records/json.ts";
import { isObject } from "../../records/members.ts";
import type { RawRecord } from "../../records/types.ts";
import { decodeWebhook, webhookRecord } from "../../records/plain.ts";

/** Tailscale sends some; this many cost 0.2 s. */
export const maxEvents = 10_000;

/**
 * The events of a body, which is one JSON array of them. Types and data that nobody knows are fine.
 * @throws {Refusal} `unparsable` or `too_large`: a delivery is taken whole or not at all.
 */
export function eventsOf({ chunks, bytes }: Body): RawRecord[] {
  const text = textOf(Buffer.concat(chunks, bytes));
  const values = arrayOf(text);
  if (values.length > maxEvents)
    throw new Refusal("too_large", `More than ${maxEvents} events in one delivery (no setting changes this limit)`);
  const texts = elementTexts(text);
  return values.map((value, place) => {
    if (!isObject(value)) throw new Refusal("unparsable", `event ${place} is not an object`);
    const record = webhookRecord(value, texts[place] ?? "");
    checkTypes(record, place);
    return record;
  });
}

const strict = new TextDecoder("utf-8", { fatal: true });

function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw new Refusal("unparsable", "the body is not UTF-8");
  }
}

function arrayOf(text: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal("unparsable", "the body is not JSON");
  }
  if (!Array.isArray(value)) throw new Refusal("unparsable", "the body is not an array of events");
  return value;
}

function checkTypes(record: RawRecord, place: number): void {
  try {
    decodeWebhook(record);
  } catch (error) {
    if (!(error instanceof Defect)) throw error;
    throw new Refusal("unparsable", `event ${place}: ${error.message}`);
  }
}
