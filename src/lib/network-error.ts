/** Why a request got no answer, in words for people: the runtime's own texts are for programmers. */

const reasons: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/TimeoutError|ETIMEDOUT/, "timeout"],
  [/ConnectionRefused|ECONNREFUSED|FailedToOpenSocket/, "connection refused, or the address is unreachable"],
  [/EHOSTUNREACH|ENETUNREACH/, "no route to the host"],
  [/ENOTFOUND|DNS|EAI_AGAIN/i, "the host name is unknown"],
  [/ConnectionClosed|ECONNRESET|EPIPE|SOCKET/, "the connection was closed (TLS on a plain port, or the reverse?)"],
  [/SELF_SIGNED|UNABLE_TO|CERT|ALTNAME/, "the certificate is not trusted, or is for another name"],
  [/EPROTO|SSL|TLS|Malformed/, "the other side does not speak TLS there, or does not speak HTTP"],
  [/Zlib|Decompress|Brotli|ZSTD/i, "the compressed answer is damaged"],
];

/** The reason, or the error's code. A message is repeated only if there is no code: then it is our own, or a library's. */
export function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  const known = reasons.find(([pattern]) => pattern.test(`${error.name} ${code}`));
  return known?.[1] ?? (code === "" ? error.message.replace(/[.,]? *For more information.*/s, "") : code);
}
