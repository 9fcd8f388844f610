/** The TLS certificate of a listener: read from files, checked before use, watched, and replaced while it is served. */
import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { whyUnusablePair } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";

export interface TlsFiles {
  /** PEM: the certificate, then those that lead from it to a root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

/** From a `tls` section of the settings; nothing if both are empty. */
export function tlsFilesOf(tls: { readonly cert_file: string; readonly key_file: string }): TlsFiles | undefined {
  return tls.cert_file === "" ? undefined : { certFile: tls.cert_file, keyFile: tls.key_file };
}

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  /** Epoch milliseconds after which nobody trusts the certificate. */
  readonly notAfter: number;
  /** The same for the same files. */
  readonly digest: string;
}

/**
 * Reads both files and checks them: well formed, key of this certificate, valid at `now` (epoch milliseconds).
 * @throws {ConfigError} with one line that names the file.
 */
export async function readKeyPair({ certFile, keyFile }: TlsFiles, now: number): Promise<KeyPair> {
  const [certificate, key] = await Promise.all([readText(certFile), readText(keyFile)]);
  const reason = whyUnusablePair({ certFile, keyFile, certificate, key }, now);
  if (reason !== undefined) throw new ConfigError([reason]);
  const notAfter = Date.parse(new X509Certificate(certificate).validTo);
  const digest = createHash("sha256").update(certificate).update("\0").update(key).digest("hex");
  return { certificate, key, notAfter, digest };
}

/** The served pair, updated when its files change. */
export interface WatchedKeyPair {
  readonly current: KeyPair;
  /** The files hold a pair that cannot be used, so the one before it is served. */
  readonly isRejecting: boolean;
  /** Reads the files now, these from here on, and logs if they cannot be used. */
  reload(files: TlsFiles): Promise<void>;
  /** Resolves when no replacement is under way. */
  stop(): Promise<void>;
}

export interface WatchDeps {
  /** Serves a new pair. @throws if the runtime cannot use it. */
  readonly use: (pair: KeyPair, previous: KeyPair) => Promise<void>;
  readonly listen: string;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly watchMs?: number;
}

/** Polled, since files arrive by rename, symbolic link or a mounted secret, which file watching reports differently. */
const defaultWatchMs = 2000;

/** Watches the files that a pair was read from. */
export function watchKeyPair(
  pair: KeyPair,
  given: TlsFiles,
  { use, listen, logger, clock, watchMs = defaultWatchMs }: WatchDeps,
): WatchedKeyPair {
  let files = given;
  let current = pair;
  let problem: { readonly message: string; readonly isLogged: boolean } | undefined;
  let last = Promise.resolve();
  const timer = setInterval(() => void check("watched"), watchMs);

  /** One check at a time. */
  function check(occasion: "watched" | "asked"): Promise<void> {
    last = last.then(() => look(occasion));
    return last;
  }

  async function look(occasion: "watched" | "asked"): Promise<void> {
    try {
      const next = await readKeyPair(files, clock());
      if (next.digest !== current.digest) await replace(next);
      problem = undefined;
    } catch (error) {
      report(error instanceof Error ? error.message : String(error), occasion);
    }
  }

  async function replace(next: KeyPair): Promise<void> {
    const previous = current;
    current = next;
    try {
      await use(next, previous);
    } catch (error) {
      current = previous;
      throw error;
    }
    logger.info("TLS certificate replaced", { listen, notAfter: new Date(next.notAfter).toISOString() });
  }

  /** A pair that is being written is seen half old, half new: what the watch finds wrong must be so twice. */
  function report(message: string, occasion: "watched" | "asked"): void {
    const isKnown = problem?.message === message;
    if (isKnown && problem?.isLogged) return;
    const isLogged = isKnown || occasion === "asked";
    problem = { message, isLogged };
    if (isLogged) logger.warn(`cannot use the new TLS certificate; still serving the old one: ${message}`, { listen });
  }

  return {
    get current() {
      return current;
    },
    get isRejecting() {
      return problem?.isLogged ?? false;
    },
    reload(next) {
      files = next;
      return check("asked");
    },
    async stop() {
      clearInterval(timer);
      await last;
    },
  };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new ConfigError([`cannot read ${file} (${reason})`]);
  }
}
