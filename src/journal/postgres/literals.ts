/** Values inside the text of a statement: nothing in them is ever read as SQL, whatever the server's settings for strings are. */

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
