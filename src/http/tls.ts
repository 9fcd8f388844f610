/** The TLS certificate of a listener: read from files or tailscaled, checked before use, and replaced when it changes. */
import { X509Certificate } from "node:crypto";
import { whyUnusablePair } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { keepTrying, type RetryDeps, waitAtMost } from "../lib/backoff.ts";
import { createFileWatch } from "../lib/file-watch.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import { messageOf } from "../lib/system-error.ts";
import { certificateName, type PemTexts, tailscaledCertificate, TailscaledError } from "./tailscaled.ts";

export interface TlsFiles {
  /** PEM: the certificate, then its chain up to a root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

/** Where a certificate comes from: two files, or the tailscaled that listens on a socket (empty: the default one). */
export type TlsSource = TlsFiles | { readonly socket: string };

/** From a `tls` section of the settings, and `tailscale.socket`; `undefined` for plain HTTP. */
export function tlsSourceOf(
  tls: { readonly cert_file: string; readonly key_file: string; readonly tailscale: boolean },
  { socket }: { readonly socket: string },
): TlsSource | undefined {
  if (tls.tailscale) return { socket };
  return tls.cert_file === "" ? undefined : { certFile: tls.cert_file, keyFile: tls.key_file };
}

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  /** Validity of the certificate, in epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** The names that the certificate is for. */
  readonly subjects: readonly string[];
}

/**
 * Reads both files and checks that they are well formed, belong together, and are valid at `now` (epoch milliseconds).
 * @throws {ConfigError} with one line that names the file.
 */
export function readKeyPair({ certFile, keyFile }: TlsFiles, now: number): KeyPair {
  const [certificate, key] = [readText(certFile), readText(keyFile)];
  const reason = whyUnusablePair({ certFile, keyFile, certificate, key }, now);
  if (reason !== undefined) throw new ConfigError([reason]);
  return withValidity({ certificate, key });
}

/** The server's own certificate in PEM: the first of a chain. */
export function leafOf(chain: string): string {
  return new X509Certificate(chain).toString();
}

function withValidity(texts: PemTexts): KeyPair {
  const { validFrom, validTo, subject, subjectAltName = "" } = new X509Certificate(texts.certificate);
  const names = [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s"]+)/g)].map(([, name = ""]) => name);
  const [, common] = /^CN=(.+)$/m.exec(subject) ?? [];
  const subjects = names.length > 0 ? names : common === undefined ? [] : [common];
  return { ...texts, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo), subjects };
}

/** A usable pair and, if its renewal is overdue, why tailscaled could not renew it. */
interface Obtained {
  readonly pair: KeyPair;
  readonly overdue?: unknown;
}

/** tailscaled renews a certificate after two thirds of its lifetime, so with less than this share left the renewal is overdue. */
const overdueShare = 0.25;

/**
 * The certificate of this node's name. tailscaled does not report failed background renewals, so an overdue certificate is
 * requested again to get the reason.
 * @throws {TailscaledError}
 */
export async function obtainKeyPair(
  options: { readonly socket: string; readonly signal?: AbortSignal; readonly timeoutMs?: number },
  now: number,
): Promise<Obtained> {
  const name = await certificateName({ socket: options.socket, ...(options.signal && { signal: options.signal }) });
  const pair = usable(await tailscaledCertificate(options, name), now);
  const leastMs = (pair.notAfter - pair.notBefore) * overdueShare;
  if (pair.notAfter - now >= leastMs) return { pair };
  try {
    return { pair: usable(await tailscaledCertificate(options, name, leastMs), now) };
  } catch (overdue) {
    return { pair, overdue };
  }
}

function usable(texts: PemTexts, now: number): KeyPair {
  const answer = "the answer of tailscaled";
  const reason = whyUnusablePair({ certFile: answer, keyFile: "its key", ...texts }, now);
  if (reason !== undefined) throw new TailscaledError(reason, "Check the clock of this machine, and update Tailscale.");
  return withValidity(texts);
}

/** The pair that a listener serves. */
export type ServedKeyPair = ReturnType<typeof createServedKeyPair>;

export interface ServedKeyPairDeps extends RetryDeps {
  /** Serves a pair, the first or a new one. @throws if the runtime cannot use it. */
  readonly serve: (pair: KeyPair) => Promise<void>;
  readonly listen: string;
  readonly fileWatchMs?: number;
  readonly askMs?: number;
  readonly startMs?: number;
}

/** tailscaled answers from memory and renews a month ahead. */
const usualAskMs = 3_600_000;

/** Enough if tailscaled has the certificate; a new one takes longer, and the rest of the program should not wait for it. */
const usualStartMs = 5000;

const dayMs = 86_400_000;

export function createServedKeyPair(initial: TlsSource, deps: ServedKeyPairDeps) {
  const { serve, listen, logger, clock, fileWatchMs = 1000, askMs = usualAskMs, startMs = usualStartMs } = deps;
  let source = initial;
  let current: KeyPair | undefined;
  let trouble = "";
  let remedy: string | undefined;
  let warned = "";
  let failures = 0;
  let watch = { stop() {} };
  let ending = new AbortController();
  let last: Promise<unknown> = Promise.resolve();

  async function renew(): Promise<unknown> {
    const previous = current;
    const now = clock();
    const { pair, overdue }: Obtained =
      "socket" in source
        ? await obtainKeyPair({ ...source, signal: ending.signal }, now)
        : { pair: readKeyPair(source, now) };
    if (pair.certificate === previous?.certificate && pair.key === previous.key) return overdue;
    current = pair;
    try {
      await serve(pair);
    } catch (error) {
      current = previous;
      throw error;
    }
    const notAfter = new Date(pair.notAfter).toISOString();
    if (previous !== undefined) logger.info("TLS certificate replaced", { listen, notAfter });
    return overdue;
  }

  /** Runs one check at a time. */
  function check(): Promise<unknown> {
    last = last.then(async () => {
      const { signal } = ending;
      const failure = await renew().catch((error: unknown) => error ?? "unknown");
      if (!signal.aborted) report(failure);
    });
    return last;
  }

  function note(failure: unknown): void {
    trouble = failure === undefined ? "" : messageOf(failure);
    remedy = failure instanceof TailscaledError ? failure.remedy : undefined;
  }

  /** Warns of each new failure and, while renewal fails, once a day of how long the certificate is still valid. */
  function report(failure: unknown): void {
    note(failure);
    const isRenewal = "socket" in source;
    const daysLeft = Math.floor(((current?.notAfter ?? 0) - clock()) / dayMs);
    const warning = isRenewal && trouble !== "" ? `${trouble} ${daysLeft}` : trouble;
    if (trouble !== "" && warning !== warned) {
      failures++;
      const what = isRenewal ? "cannot renew the TLS certificate" : "cannot use the new TLS certificate";
      logger.warn(`${what}; still serving the old one: ${trouble}`, { listen, daysLeft, remedy });
    }
    warned = warning;
  }

  /** Retries until a pair is served. */
  async function acquire(): Promise<void> {
    const { signal } = ending;
    const attempt = async (): Promise<unknown> => {
      try {
        return await renew();
      } catch (error) {
        note(error ?? "unknown");
        throw error;
      }
    };
    const what = `open ${listen} with a TLS certificate`;
    const overdue = await keepTrying(what, attempt, { ...deps, signal, backoff: { firstMs: 1000, maxMs: 60_000 } });
    if (signal.aborted) return;
    report(overdue);
    await startWatching();
  }

  async function startWatching(): Promise<void> {
    watch.stop();
    if ("socket" in source) {
      const timer = setInterval(() => void check(), askMs);
      watch = { stop: () => clearInterval(timer) };
      return;
    }
    const files = createFileWatch(fileWatchMs, () => void check());
    watch = files;
    await files.watch([source.certFile, source.keyFile]);
  }

  return {
    /** `undefined` until tailscaled has provided one. */
    get current() {
      return current;
    },
    /** Why there is no pair, or why the previous one is still served; empty if all is well. */
    get trouble() {
      return trouble;
    },
    /** What to do about it, if known. */
    get remedy() {
      return remedy;
    },
    /** How many pairs could not be used, obtained or renewed. */
    get failures() {
      return failures;
    },
    /**
     * Resolves when a pair is served; with tailscaled, after some seconds at the latest, while retries go on in the background.
     * @throws {ConfigError} if the files cannot be used.
     */
    async start(): Promise<void> {
      if ("socket" in source) {
        last = acquire();
        await waitAtMost(last, startMs);
        return;
      }
      await renew();
      await startWatching();
      // Changes since the pair was read would otherwise go unnoticed.
      void check();
    },
    /** Reads this source now and watches it from now on. */
    async reload(next: TlsSource): Promise<void> {
      source = next;
      if (current === undefined) {
        ending.abort();
        await last;
        ending = new AbortController();
      }
      if (current === undefined) {
        last = acquire();
        return;
      }
      await startWatching();
      await check();
    },
    /** Resolves when no replacement is in progress. */
    async stop(): Promise<void> {
      watch.stop();
      ending.abort();
      await last;
      watch.stop();
    },
  };
}

function readText(file: string): string {
  const read = readRegularFile(file);
  if ("text" in read) return read.text;
  throw new ConfigError([`cannot read ${file}: ${read.reason}`]);
}
