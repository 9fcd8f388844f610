/**
 * A listener whose certificate can be replaced while it serves. The runtime keeps the certificate that a listener began
 * with, so the new pair gets a second listener on the same port, and the old one ends when its requests have.
 */
import type { ListenAddress } from "../lib/listen.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { canSharePort, type RunningServer } from "../runtime/serve.ts";
import { type KeyPair, readKeyPair, type TlsFiles } from "./key-pair.ts";
import { before, bind, bindShared, finish, type ListenerOptions } from "./listener.ts";

export interface TlsListenerOptions {
  readonly address: ListenAddress;
  readonly files: TlsFiles;
  readonly options: ListenerOptions;
  /** Whether a request is being answered. */
  readonly isBusy: () => boolean;
  /** How often the files are looked at. */
  readonly watchMs?: number;
}

export interface TlsListener {
  readonly port: number;
  /** Epoch milliseconds at which the certificate being served ends. */
  readonly notAfter: number;
  /** Whether the files hold a pair that cannot be used, so that the one before it is served. */
  readonly isRejecting: boolean;
  /** Looks at the files now, and says so when they cannot be used. From here on it is these files. */
  reload(files: TlsFiles): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

/** Polled, since the files come by rename, by symbolic link or by a mounted secret, which watching does not tell alike. */
const defaultWatchMs = 2000;

/**
 * Old and new listener both take connections for so long, and the old one ends each connection with its next answer: the
 * runtime closes idle connections when a listener ends, also one on which a request is just arriving.
 */
const overlapMs = 1000;

/** For requests that the old listener is still answering. */
const finishMs = 60_000;

/** The same, where nobody listens until the old listener is gone. */
const blindMs = 1000;

/**
 * Binds and serves.
 * @throws {ConfigError} when certificate and key cannot be used.
 * @throws {ListenError} when the address cannot be bound.
 */
export async function createTlsListener(
  { address, options, isBusy, watchMs = defaultWatchMs, ...given }: TlsListenerOptions,
  { logger, clock }: { readonly logger: Logger; readonly clock: Clock },
): Promise<TlsListener> {
  let { files } = given;
  let pair = await readKeyPair(files, clock());
  let running = await bindShared(address, optionsOf(pair));
  const ending = new Set<RunningServer>();
  /** What is wrong with the files, and whether the operator knows. */
  let complaint: { readonly message: string; readonly isTold: boolean } | undefined;
  const stopped = Promise.withResolvers<void>();
  let isStopped = false;
  let last = Promise.resolve();
  const timer = setInterval(() => void check("watched"), watchMs);

  /** One look at a time. */
  function check(occasion: "watched" | "asked"): Promise<void> {
    last = last.then(() => look(occasion));
    return last;
  }

  async function look(occasion: "watched" | "asked"): Promise<void> {
    try {
      const next = await readKeyPair(files, clock());
      if (next.digest !== pair.digest) await replace(next);
      complaint = undefined;
    } catch (error) {
      complain(error instanceof Error ? error.message : String(error), occasion);
    }
  }

  /** A pair that is being written is seen half old, half new: what the watch finds wrong must be so twice. */
  function complain(message: string, occasion: "watched" | "asked"): void {
    const isKnown = complaint?.message === message;
    if (isKnown && complaint?.isTold) return;
    const isTold = isKnown || occasion === "asked";
    complaint = { message, isTold };
    if (isTold) logger.warn(`the new TLS certificate is not used: ${message}`, { listen: address.text });
  }

  /** Resolves when nobody is shown the old certificate any more. */
  async function replace(next: KeyPair): Promise<void> {
    const old = running;
    if (!canSharePort) await finish(old, blindMs, isBusy);
    if (isStopped) return;
    running = bind({ ...address, port: old.port }, { ...optionsOf(next), sharesPort: true });
    pair = next;
    const notAfter = new Date(next.notAfter).toISOString();
    logger.info("the TLS certificate was replaced", { listen: address.text, notAfter });
    if (!canSharePort) return;
    ending.add(old);
    await before(overlapMs, stopped.promise);
    if (!isStopped) void finish(old, finishMs, isBusy).finally(() => ending.delete(old));
  }

  /** What a listener with this pair does, which ends its connections once another pair has taken its place. */
  function optionsOf(own: KeyPair): ListenerOptions & { readonly tls: KeyPair } {
    return {
      ...options,
      tls: own,
      async handle(request, connection) {
        const response = await options.handle(request, connection);
        if (own !== pair) response.headers.set("connection", "close");
        return response;
      },
    };
  }

  return {
    get port() {
      return running.port;
    },
    get notAfter() {
      return pair.notAfter;
    },
    get isRejecting() {
      return complaint?.isTold ?? false;
    },
    reload(next) {
      files = next;
      return check("asked");
    },
    async stop(deadlineMs) {
      isStopped = true;
      stopped.resolve();
      clearInterval(timer);
      await last;
      await Promise.all([running, ...ending].map((server) => finish(server, deadlineMs, isBusy)));
    },
  };
}
