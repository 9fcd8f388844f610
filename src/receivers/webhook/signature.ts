/** Verifies the signature of a webhook delivery: made with a known secret, recent enough, and over exactly these bytes. */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Config } from "../../config/schema.ts";

export const signatureHeader = "tailscale-webhook-signature";

/** What the header says: `t=<seconds>,v1=<hex>[,v1=…]`. */
export interface Signature {
  /** As written in the header, because the signed text begins with it. */
  readonly time: string;
  readonly seconds: number;
  /** The decoded `v1` elements, 32 bytes each. */
  readonly candidates: readonly Uint8Array[];
}

/** What is wrong with a signature header, as the name of an answer. */
export type SignatureDefect = "missingSignature" | "malformedSignature";
export type TimeVerdict = "timely" | "late" | "staleTimestamp" | "futureTimestamp";

/** Maximum number of `v1` elements; secret rotation never needs more. */
export const maxCandidates = 16;

/** A header with several times, or without a valid `v1`, is malformed. Unknown elements are ignored. */
export function readSignature(header: string | null): Signature | SignatureDefect {
  if (header === null || header.trim() === "") return "missingSignature";
  const times: string[] = [];
  const candidates: Uint8Array[] = [];
  for (const element of header.split(",")) {
    const [, name, value = ""] = /^\s*([^=\s]+)=(.*?)\s*$/s.exec(element) ?? [];
    if (name === "t") times.push(value);
    if (name === "v1" && /^[0-9a-f]{64}$/i.test(value)) candidates.push(Buffer.from(value, "hex"));
  }
  const [time = "", ...more] = times;
  const isWellFormed = /^\d{1,12}$/.test(time) && more.length === 0;
  if (!isWellFormed || candidates.length === 0 || candidates.length > maxCandidates) return "malformedSignature";
  return { time, seconds: Number(time), candidates };
}

/** Compares a signature's time with its delivery's receipt (epoch milliseconds), limits included. Tolerance 0: always timely. */
export function judgeTime(
  seconds: number,
  receivedAt: number,
  { tolerance, late_retry_window: lateWindow }: Pick<Config["webhook"], "tolerance" | "late_retry_window">,
): TimeVerdict {
  if (tolerance === 0) return "timely";
  const ageMs = receivedAt - seconds * 1000;
  if (ageMs < -tolerance) return "futureTimestamp";
  if (ageMs <= tolerance) return "timely";
  return ageMs <= tolerance + lateWindow ? "late" : "staleTimestamp";
}

/**
 * True if one of the candidates was made from these bytes with the secret. Every candidate is compared in constant time, so the
 * duration depends on their number only.
 */
export function isSigned({ time, candidates }: Signature, chunks: readonly Uint8Array[], secret: string): boolean {
  const own = signatureOf(secret, time, chunks);
  let matches = 0;
  for (const candidate of candidates) matches |= Number(timingSafeEqual(own, candidate));
  return matches === 1;
}

/** The header that a sender would set. `seconds`: since the epoch. */
export function signatureHeaderOf(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${signatureOf(secret, String(seconds), [Buffer.from(body)]).toString("hex")}`;
}

/** HMAC-SHA256 over `<time>.<body>`, keyed with the full text of the secret, including its prefix. */
function signatureOf(secret: string, time: string, chunks: readonly Uint8Array[]): Buffer {
  const mac = createHmac("sha256", secret).update(`${time}.`);
  for (const chunk of chunks) mac.update(chunk);
  return mac.digest();
}
