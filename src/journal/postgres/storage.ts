/** What the functions inside the database and those that call them agree on, and how values stand in the text of a statement. */

/** What a key counts for in `head.used_bytes`: its row and its place in the index. */
export const keyBytes = 100;

/** What a row counts for beside its body and tally. */
export const rowBytes = 256;

/** The day of rows that only marks hold: they are in the default partition of batches, since no row is received on it. */
export const heldDay = -1;

/** Of the flow keys of a journal that was moved here, which does not tell their days. No record is of that day. */
export const unknownDay = -1;

/** SQLSTATEs that the functions raise: another instance leads; the retried line is gone; the write is committed; the database has failed over. */
export const raised = { fenced: "TS001", gone: "TS002", written: "TS004", failedOver: "TS005" } as const;

/**
 * Plans are chosen once per connection, perhaps while a table was small: always by index. Whoever waits for another's lock
 * longer than this is told so (55P03) and repeats.
 */
export const plans = "SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off";

/** Nothing in these values is ever read as SQL, whatever the server's settings for strings are. */
export function blobLiteral(bytes: Uint8Array): string {
  return `decode('${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}', 'hex')`;
}

/** PostgreSQL keeps no U+0000 in a text: it becomes U+FFFD. */
export function textLiteral(text: string): string {
  if (/^[\w.:/-]*$/.test(text)) return `'${text}'`;
  const bytes = new TextEncoder().encode(text.replaceAll("\0", "\uFFFD").toWellFormed());
  return `convert_from(${blobLiteral(bytes)}, 'UTF8')`;
}

export function textOrNull(text: string | null): string {
  return text === null ? "NULL" : textLiteral(text);
}

/** A list for `IN`. @throws {RangeError} if one of them is not whole. */
export function numbers(values: readonly number[]): string {
  for (const value of values) if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no whole number`);
  return values.join(", ");
}
