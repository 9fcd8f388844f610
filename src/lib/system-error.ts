/** File and network errors in a few words for people; the runtime's own messages are for programmers. */

/** Describes a network error of `fetch`. `host`: name and port of the other side. */
export function connectionError(error: unknown, host: string): string {
  if (error instanceof Error && error.name === "TimeoutError") return `timed out waiting for ${host}`;
  const code = codeOf(error) ?? "";
  const known = connectionSentences.find(([pattern]) => pattern.test(code));
  return known === undefined ? `request to ${host} failed${code === "" ? "" : ` (${code})`}` : known[1](host, code);
}

/** The `code` of an error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The message of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why a file or directory could not be used; `undefined` if it is not a known file system error. */
export function fileErrorReason(error: unknown): string | undefined {
  const code = codeOf(error);
  return code === undefined ? undefined : fileReasons[code];
}

const connectionSentences: readonly (readonly [RegExp, (host: string, code: string) => string])[] = [
  [/^(ECONNREFUSED|ConnectionRefused)$/, (host) => `connection refused by ${host}`],
  [/^(ENOTFOUND|EAI_\w+|DNS\w*)$/i, (host) => `host name not found: ${host}`],
  [/^(EHOSTUNREACH|ENETUNREACH)$/, (host) => `no route to ${host}`],
  [/^(ETIMEDOUT|ConnectionTimeout|UND_ERR_CONNECT_TIMEOUT)$/, (host) => `timed out connecting to ${host}`],
  [/^FailedToOpenSocket$/, (host) => `cannot open a connection to ${host}`],
  [/^(ECONNRESET|ConnectionClosed|EPIPE|UND_ERR_SOCKET)$/, (host) => `connection closed by ${host} without an answer`],
  [/EXPIRED/, (host) => `certificate of ${host} has expired`],
  [/ALTNAME/, (host) => `certificate of ${host} is for another name`],
  [/SELF_SIGNED|UNABLE_TO|CERT/, (host, code) => `certificate of ${host} is not trusted (${code})`],
  [/EPROTO|SSL|TLS/, (host, code) => `TLS handshake with ${host} failed (${code})`],
  [/Zlib|Decompress|Brotli|ZSTD/i, (host) => `compressed answer of ${host} is damaged`],
  [/Malformed|HTTP|HPE_/, (host) => `answer of ${host} is not HTTP`],
];

const fileReasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBUSY: "it is in use",
  EDQUOT: "the disk quota is used up",
  EEXIST: "it already exists",
  EFBIG: "it would be too large",
  EIO: "the disk reports an error",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ENFILE: "too many open files",
  ENOENT: "there is no such file or directory",
  ENOSPC: "no space is left on the disk",
  ENOTDIR: "a part of the path is not a directory",
  ENOTEMPTY: "the directory is not empty",
  ENXIO: "it is not a regular file",
  EOPNOTSUPP: "it is not a regular file",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
};
