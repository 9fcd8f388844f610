/** Constants shared by the database functions and their callers, and the encoding of values as SQL text. */

/** Counted per key in `head.used_bytes`, for its row and its index entry. */
export const keyBytes = 100;

/** Counted per row in addition to its body and tally. */
export const rowBytes = 256;

/** The day of rows that only marks hold. They are in the default partition of batches, because no row is received on it. */
export const heldDay = -1;

/** The day of flow keys of a journal that was moved here, whose days are unknown. No record is of that day. */
export const unknownDay = -1;

/**
 * SQLSTATEs raised by the functions: another instance leads; the retried line is gone; the write is committed; the database has
 * failed over.
 */
export const raised = { fenced: "TS001", gone: "TS002", written: "TS004", failedOver: "TS005" } as const;

/** Plans are chosen once per connection, perhaps while a table was small, so they always use indexes. */
export const plans = "SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off";

/** Bytes as SQL text. No value can be read as SQL, whatever the server's settings for strings are. */
export function blobLiteral(bytes: Uint8Array): string {
  return `decode('${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}', 'hex')`;
}

/** Text as SQL. PostgreSQL cannot store U+0000 in a text, so it becomes U+FFFD. */
export function textLiteral(text: string): string {
  if (/^[\w.:/-]*$/.test(text)) return `'${text}'`;
  const bytes = new TextEncoder().encode(text.replaceAll("\0", "\uFFFD").toWellFormed());
  return `convert_from(${blobLiteral(bytes)}, 'UTF8')`;
}

export function textOrNull(text: string | null): string {
  return text === null ? "NULL" : textLiteral(text);
}

/** A list for `IN`. @throws {RangeError} if a value is not an integer. */
export function numbers(values: readonly number[]): string {
  for (const value of values) if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no whole number`);
  return values.join(", ");
}
