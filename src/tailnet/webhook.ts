/**
 * Maintains the receiver's webhook at Tailscale: creates it or takes over the existing one, and gives its secret to the receiver,
 * across rotations and restarts.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { displayUrl } from "../config/index.ts";
import { memoryPath } from "../journal/index.ts";
import { type Backoff, keepTrying, type RetryDeps, waitAtMost } from "../lib/backoff.ts";
import { createFileWatch, type FileWatch } from "../lib/file-watch.ts";
import { createOncePerMinute } from "../lib/logger.ts";
import { readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import {
  createAttempts,
  type Failure,
  type TailscaleApi,
  type WebhookEndpoint,
  type WebhookWithSecret,
} from "../tailscale/index.ts";
import { isSameAddress, usualBackoff } from "./log-streams.ts";

export interface WebhookOptions {
  /** The address that Tailscale should deliver to. */
  readonly url: string;
  /** Event types, with `all` expanded. */
  readonly subscriptions: readonly string[];
  /** The directory of `webhook.json`. */
  readonly statePath: string;
  /** `webhook.secret` is set. Tailscale would choose another secret, so nothing is created or rotated. */
  readonly isSecretSet: boolean;
  readonly backoff?: Backoff;
  /** Time between two checks of the file with the secret. */
  readonly watchMs?: number;
}

export interface WebhookDeps extends RetryDeps {
  readonly api: Pick<TailscaleApi, "webhooks" | "createWebhook" | "updateWebhook" | "rotateWebhook">;
  /** Sets the secrets that deliveries are verified with; an empty one means none. */
  use(secret: string, secretPrevious: string): void;
}

export type WebhookRegistration = ReturnType<typeof createWebhookRegistration>;

/** The webhook that this program maintains at Tailscale, as it is stored. */
export interface StoredWebhook {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
  /** The previous secret, accepted until the new one has been used, at the latest until `until` (epoch milliseconds). */
  readonly previous?: { readonly secret: string; readonly until: number };
}

export type WebhookSecretFile = ReturnType<typeof webhookSecretFile>;

/** Tailscale retries a delivery for this long. */
const previousMs = 24 * 3_600_000;

/** The private file in a state directory; with `:memory:`, it lives as long as the returned object. */
export function webhookSecretFile(statePath: string) {
  const isInMemory = statePath === memoryPath;
  const path = isInMemory ? memoryPath : join(statePath, "webhook.json");
  let inMemory: StoredWebhook | undefined;
  return {
    /** `:memory:` if it is not on disk. */
    path,
    /** `undefined` if there is none, or if it is damaged. @throws {Error} if it cannot be read. */
    read: (): StoredWebhook | undefined => (isInMemory ? inMemory : decode(readPrivateFile(path))),
    /** @throws {Error} if it cannot be written; the previous file is unchanged. */
    write(webhook: StoredWebhook): void {
      if (isInMemory) inMemory = webhook;
      else writePrivateFile(path, `${JSON.stringify(webhook, undefined, 2)}\n`);
    },
    remove(): void {
      inMemory = undefined;
      if (!isInMemory) rmSync(path, { force: true });
    },
  };
}

/** What to store after a creation or rotation at `now`: the previous secret stays valid for a day. */
export function withNewSecret(before: StoredWebhook | undefined, made: WebhookWithSecret, now: number): StoredWebhook {
  const { id, url, secret } = made;
  if (before === undefined || before.secret === secret) return { id, url, secret };
  return { id, url, secret, previous: { secret: before.secret, until: now + previousMs } };
}

export function createWebhookRegistration(options: WebhookOptions, deps: WebhookDeps) {
  const { url, subscriptions, isSecretSet, backoff = usualBackoff, watchMs = 1000 } = options;
  const { api, logger, clock } = deps;
  const file = webhookSecretFile(options.statePath);
  const ending = new AbortController();
  const mayLog = createOncePerMinute<"unwritable">(clock);
  let current: StoredWebhook | undefined;
  /** Tailscale shows a new secret once. If it cannot be stored, it is held and used here, and only the write is retried. */
  let unsaved: StoredWebhook | undefined;
  let watch: FileWatch | undefined;
  let expiry: ReturnType<typeof setTimeout> | undefined;
  let reconciling: Promise<unknown> = Promise.resolve();
  const attempts = createAttempts();

  /** Uses the secret in the file, whether this process or a command wrote it. */
  function recall(): void {
    let found: StoredWebhook | undefined;
    try {
      found = unsaved ?? file.read();
    } catch (error) {
      logger.error("cannot read the webhook's secret", { file: file.path, reason: String(error) });
      return;
    }
    if (current !== undefined && found !== undefined && found.secret !== current.secret)
      logger.info("the webhook has a new secret; the previous one stays valid until the new one is used, or for a day");
    const hasExpired = found?.previous !== undefined && clock() >= found.previous.until;
    current = found !== undefined && hasExpired ? withoutPrevious(found) : found;
    deps.use(current?.secret ?? "", current?.previous?.secret ?? "");
    clearTimeout(expiry);
    if (current?.previous !== undefined && !ending.signal.aborted)
      expiry = setTimeout(retirePrevious, Math.max(0, current.previous.until - clock()), "a day has passed");
  }

  function retirePrevious(why: string): void {
    try {
      const stored = unsaved ?? file.read();
      if (stored?.previous === undefined) return;
      save(withoutPrevious(stored));
      logger.info("the webhook's previous secret is no longer accepted", { why });
    } catch (error) {
      if (mayLog("unwritable") !== undefined)
        logger.error("cannot write the file with the webhook's secret", { file: file.path, reason: String(error) });
      return;
    }
    recall();
  }

  /** @throws {Error} if the file cannot be written; the secret is held and used nevertheless. */
  function save(webhook: StoredWebhook): void {
    unsaved = webhook;
    file.write(webhook);
    unsaved = undefined;
  }

  /** Makes one pass, after which the webhook exists with the wanted subscriptions and its secret is in the file. */
  async function reconcile(): Promise<true> {
    if (unsaved !== undefined) save(unsaved);
    const before = file.read();
    const all = await api.webhooks("set");
    const ours = all.filter((endpoint) => isSameAddress(endpoint.url, url));
    const known = ours.find(({ id }) => id === before?.id);
    const moved = known === undefined ? all.find(({ id }) => id === before?.id) : undefined;
    if (moved !== undefined)
      logger.warn("webhook.public_url has changed: remove the webhook with the old address at Tailscale", {
        id: moved.id,
        url: displayUrl(moved.url),
      });
    const found = known ?? ours[0];
    if (known === undefined) {
      const made = await (found === undefined
        ? api.createWebhook({ url, subscriptions })
        : api.rotateWebhook(found.id));
      const fields = { id: made.id, url: displayUrl(url) };
      if (found === undefined) logger.info("created a webhook at Tailscale", fields);
      else
        logger.warn(
          "took over a webhook with an unknown secret and rotated it: the old secret is no longer valid",
          fields,
        );
      save(withNewSecret(before, made, clock()));
    }
    if (found === undefined) return true;
    const others = ours.filter(({ id }) => id !== found.id).map(({ id }) => id);
    if (others.length > 0)
      logger.warn("several webhooks have this address: remove the others, whose deliveries are refused", {
        url: displayUrl(url),
        others: others.join(", "),
      });
    await subscribe(found);
    return true;
  }

  /** With a secret in the settings, only the subscriptions can be maintained. */
  async function reconcileSubscriptions(): Promise<true> {
    const found = (await api.webhooks("set")).find((endpoint) => isSameAddress(endpoint.url, url));
    if (found === undefined)
      logger.warn("no webhook created: webhook.secret is set, but Tailscale chooses the secret of a new webhook", {
        url: displayUrl(url),
        remedy: "Remove webhook.secret, or create the webhook in the admin console.",
      });
    else await subscribe(found);
    return true;
  }

  async function subscribe({ id, url: there, subscriptions: present }: WebhookEndpoint): Promise<void> {
    const added = subscriptions.filter((type) => !present.includes(type));
    const removed = present.filter((type) => !subscriptions.includes(type));
    if (added.length + removed.length === 0) {
      logger.info("the webhook at Tailscale is up to date", { id, url: displayUrl(there) });
      return;
    }
    await api.updateWebhook(id, subscriptions);
    logger.info("changed the webhook's subscriptions at Tailscale", {
      id,
      url: displayUrl(there),
      added: added.join(", ") || undefined,
      removed: removed.join(", ") || undefined,
    });
  }

  /** Watches before it reads, so that no later write is missed. */
  async function watchAndRecall(): Promise<void> {
    await watch?.watch([file.path]);
    recall();
  }

  return {
    /** Why it could not be set up at the last attempt. */
    get failure(): Failure | undefined {
      return attempts.failure;
    },
    /** Gives the receiver the stored secret. Call it before the receiver listens. */
    recall(): void {
      if (isSecretSet) return;
      if (file.path === memoryPath)
        logger.warn("the webhook's secret is kept in memory only, so each start rotates it", {
          remedy: "Set state.path to a directory.",
        });
      recall();
    },
    /** Call it once the receiver listens. */
    start(): void {
      if (!isSecretSet) {
        watch = createFileWatch(watchMs, recall);
        void watchAndRecall();
      }
      const pass = isSecretSet ? reconcileSubscriptions : () => reconcile().finally(watchAndRecall);
      reconciling = keepTrying("set up the webhook", attempts.noting<true>(pass), {
        ...deps,
        backoff,
        signal: ending.signal,
      });
    },
    /** Call when a delivery was signed with this secret. */
    signedBy(secret: string): void {
      if (current?.previous !== undefined && secret === current.secret)
        retirePrevious("a delivery was signed with the new one");
    },
    /** Waits up to `deadlineMs` for a request in flight. May be called before `start`, and twice. */
    async stop(deadlineMs: number): Promise<void> {
      ending.abort();
      watch?.stop();
      clearTimeout(expiry);
      await waitAtMost(reconciling, deadlineMs);
    },
  };
}

function withoutPrevious({ id, url, secret }: StoredWebhook): StoredWebhook {
  return { id, url, secret };
}

function decode(text: string | undefined): StoredWebhook | undefined {
  try {
    const { id, url, secret, previous } = JSON.parse(text ?? "null") as StoredWebhook;
    if (![id, url, secret].every(isText)) return undefined;
    if (!isText(previous?.secret) || typeof previous.until !== "number") return { id, url, secret };
    return { id, url, secret, previous: { secret: previous.secret, until: previous.until } };
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
