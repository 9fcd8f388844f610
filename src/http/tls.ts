/** The TLS certificate of a listener: read from files, checked before use, and replaced when the files change. */
import { X509Certificate } from "node:crypto";
import { whyUnusablePair } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { createFileWatch } from "../lib/file-watch.ts";
import type { Logger } from "../lib/logger.ts";
import { readRegularFile } from "../lib/regular-file.ts";

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
  /** Epoch milliseconds between which the certificate is trusted. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Reads both files and checks them: well formed, key of this certificate, valid at `now` (epoch milliseconds).
 * @throws {ConfigError} with one line that names the file.
 */
export function readKeyPair({ certFile, keyFile }: TlsFiles, now: number): KeyPair {
  const [certificate, key] = [readText(certFile), readText(keyFile)];
  const reason = whyUnusablePair({ certFile, keyFile, certificate, key }, now);
  if (reason !== undefined) throw new ConfigError([reason]);
  const { validFrom, validTo } = new X509Certificate(certificate);
  return { certificate, key, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

/** The pair that is served. */
export interface ServedKeyPair {
  readonly current: KeyPair;
  /** The files hold a pair that cannot be used, so the previous one is still served. */
  readonly isRejecting: boolean;
  /** How many pairs could not be used. */
  readonly rejections: number;
  /** Reads these files now and watches them from now on. */
  reload(files: TlsFiles): Promise<void>;
  /** Resolves when no replacement is under way. */
  stop(): Promise<void>;
}

export interface ServedKeyPairDeps {
  /** Serves a new pair. @throws if the runtime cannot use it. */
  readonly serve: (pair: KeyPair) => Promise<void>;
  readonly listen: string;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly watchMs?: number;
}

/** Serves `pair`, which was read from `files`, until the files hold another one that can be used. */
export function watchKeyPair(
  pair: KeyPair,
  files: TlsFiles,
  { serve, listen, logger, clock, watchMs = 1000 }: ServedKeyPairDeps,
): ServedKeyPair {
  let watched = files;
  let current = pair;
  let rejected = "";
  let rejections = 0;
  const watch = createFileWatch(watchMs, () => void check());
  // What has changed since the pair was read would go unnoticed.
  let last = watch.watch([files.certFile, files.keyFile]).then(replace);

  /** One check at a time. */
  function check(): Promise<void> {
    last = last.then(replace);
    return last;
  }

  async function replace(): Promise<void> {
    const previous = current;
    try {
      const next = readKeyPair(watched, clock());
      if (next.certificate !== previous.certificate || next.key !== previous.key) {
        current = next;
        await serve(next);
        logger.info("TLS certificate replaced", { listen, notAfter: new Date(next.notAfter).toISOString() });
      }
      rejected = "";
    } catch (error) {
      current = previous;
      const message = error instanceof Error ? error.message : String(error);
      if (message !== rejected) {
        rejections++;
        logger.warn(`cannot use the new TLS certificate; still serving the old one: ${message}`, { listen });
      }
      rejected = message;
    }
  }

  return {
    get current() {
      return current;
    },
    get isRejecting() {
      return rejected !== "";
    },
    get rejections() {
      return rejections;
    },
    async reload(next) {
      watched = next;
      await watch.watch([next.certFile, next.keyFile]);
      await check();
    },
    async stop() {
      watch.stop();
      await last;
    },
  };
}

function readText(file: string): string {
  const read = readRegularFile(file);
  if ("text" in read) return read.text;
  throw new ConfigError([`cannot read ${file}: ${read.reason}`]);
}
