/** The files that a configuration names: read with a bound, trusted or not, and checked as `run` will use them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { formatBytes } from "../lib/units.ts";

/** Reads a whole file, or says why not. Never throws. */
export function readBounded(
  path: string,
  maxBytes: number,
): { readonly text: string; readonly stats: Stats } | { readonly reason: string; readonly code: string } {
  try {
    const file = openSync(path, "r");
    try {
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      for (let read = -1; read !== 0 && length <= maxBytes; length += read) {
        read = readSync(file, buffer, length, buffer.length - length, null);
      }
      if (length > maxBytes) return { reason: `it is larger than ${formatBytes(maxBytes)}`, code: "EFBIG" };
      return { text: buffer.toString("utf8", 0, length), stats: fstatSync(file) };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { reason: systemReason(error), code: codeOf(error) };
  }
}

const maxSecretBytes = 64 * 1024;

/** The text of a secret's own file without white space at its ends, or why there is none. */
export function readSecretFile(path: string): { readonly secret: string } | { readonly reason: string } {
  const read = readBounded(path, maxSecretBytes);
  if ("reason" in read) return { reason: `cannot read ${JSON.stringify(path)}: ${read.reason}` };
  const secret = read.text.trim();
  if (secret === "") return { reason: `${JSON.stringify(path)} is empty` };
  return /^[\x21-\x7e]+$/.test(secret) ? { secret } : { reason: `invalid secret in ${JSON.stringify(path)}` };
}

/**
 * Why a file that nobody named must not be trusted: whoever can write it decides where credentials are sent. Nothing is
 * opened before, since another user's file could be a link or a pipe. Group write access counts only if the group is not
 * the owner's own, as with a umask of 0002.
 */
export function whyUntrusted(path: string, user: number | undefined): string | undefined {
  if (user === undefined) return undefined;
  try {
    return [lstatSync(path), statSync(path)]
      .map((stats) => whyForeign(stats, user))
      .find((reason) => reason !== undefined);
  } catch {
    // What is not there, or cannot be looked at, cannot be read either.
    return undefined;
  }
}

export function whyForeign(stats: Pick<Stats, "uid" | "gid" | "mode">, user: number): string | undefined {
  const { uid, gid, mode } = stats;
  if (uid !== user && uid !== 0) return `it belongs to another user (uid ${uid})`;
  const isLink = (mode & constants.S_IFMT) === constants.S_IFLNK;
  const isShared = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== uid);
  return isShared && !isLink ? `other users can write to it (mode ${formatMode(mode)})` : undefined;
}

export function formatMode(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

/** A certificate and its key, both PEM. */
export interface PemPair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certificate: string;
  readonly key: string;
}

/** Why a pair cannot be used at `now` (epoch milliseconds). The parser's own message is left out: it may quote the key. */
export function whyUnusablePair({ certFile, keyFile, certificate, key }: PemPair, now: number): string | undefined {
  const leaf = parsed(() => new X509Certificate(certificate));
  if (leaf === undefined) return `${certFile} contains no PEM certificate`;
  const privateKey = parsed(() => createPrivateKey(key));
  if (privateKey === undefined) return `${keyFile} contains no PEM private key without a passphrase`;
  if (!leaf.checkPrivateKey(privateKey)) return `${keyFile} is not the key of the certificate in ${certFile}`;
  if (now > Date.parse(leaf.validTo)) return `the certificate in ${certFile} has expired (${leaf.validTo})`;
  if (now >= Date.parse(leaf.validFrom)) return undefined;
  return `the certificate in ${certFile} is not valid before ${leaf.validFrom}`;
}

function parsed<Value>(parse: () => Value): Value | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "there is no such file",
  ENOTDIR: "a part of the path is not a directory",
  EPERM: "permission denied",
};

function systemReason(error: unknown): string {
  return reasons[codeOf(error)] ?? (codeOf(error) || String(error));
}
