/** Which compression a body is in. */
import { Refusal } from "../../errors.ts";
import type { Compression } from "../../runtime/decompress.ts";

/** `auto` goes by `Content-Encoding`; every other mode ignores that header. */
export type DecompressMode = "auto" | "gzip" | "zstd" | "none";

/** @throws {Refusal} `unsupported_encoding`. */
export function compressionOf(mode: DecompressMode, contentEncoding: string | null): Compression | undefined {
  if (mode === "none") return undefined;
  if (mode !== "auto") return mode;
  switch (contentEncoding?.trim().toLowerCase() ?? "") {
    case "":
    case "identity":
      return undefined;
    case "gzip":
    case "x-gzip":
      return "gzip";
    case "zstd":
      return "zstd";
    default:
      throw new Refusal("unsupported_encoding", "unsupported Content-Encoding");
  }
}
