/**
 * Keeps a webhook at Tailscale for the receiver: makes it or takes over the one that is there, and gives its secret to the
 * receiver, across rotations and restarts. Nothing waits for it, and it never gives up.
 */
import { displayUrl } from "../config/index.ts";
import { createFileWatch, type FileWatch } from "../lib/file-watch.ts";
import { createOncePerMinute } from "../lib/logger.ts";
import { keepTrying, type PatienceDeps, pause, usualWaits, type Waits } from "./patience.ts";
import { isSameAddress } from "./public-address.ts";
import type { TailscaleApi, WebhookEndpoint } from "./types.ts";
import {
  atTime,
  type KeptWebhook,
  webhookSecretFile,
  type WebhookSecretFile,
  withNewSecret,
  withoutPrevious,
} from "./webhook-secret.ts";

export interface WebhookEndpointOptions {
  /** As Tailscale shall call it. */
  readonly url: string;
  /** As the API takes them: types, `all` spelt out. */
  readonly subscriptions: readonly string[];
  readonly stateDirectory: string;
  /** The settings have the secret: what Tailscale would make of its own accord is not that one, so nothing is made or rotated. */
  readonly isSecretSet: boolean;
  readonly waits?: Waits;
  /** Between two looks at the file of the secret. */
  readonly watchMs?: number;
}

export interface WebhookEndpointDeps extends PatienceDeps {
  readonly api: Pick<TailscaleApi, "webhooks" | "createWebhook" | "updateWebhook" | "rotateWebhook">;
  /** From here on deliveries are judged by these; an empty one is none. */
  use(secret: string, secretPrevious: string): void;
}

export interface WebhookKeeper {
  /** Gives the receiver the secret that is known, before it listens. */
  recall(): void;
  /** The receiver listens. */
  start(): void;
  /** A delivery was signed with this secret. */
  signedBy(secret: string): void;
  /** Waits for a request that is under way, at most `deadlineMs`. Safe before `start`, and twice. */
  stop(deadlineMs: number): Promise<void>;
}

const usualWatchMs = 1000;

export function createWebhookKeeper(options: WebhookEndpointOptions, deps: WebhookEndpointDeps): WebhookKeeper {
  const { stateDirectory, isSecretSet, waits = usualWaits, watchMs = usualWatchMs } = options;
  const { logger, clock } = deps;
  const file = webhookSecretFile(stateDirectory);
  const life = new AbortController();
  const quiet = createOncePerMinute<"unwritable">(clock);
  let kept: KeptWebhook | undefined;
  let watch: FileWatch | undefined;
  let expiry: ReturnType<typeof setTimeout> | undefined;
  let settling: Promise<unknown> = Promise.resolve();

  /** What the file says is what holds, whoever wrote it: this process, or a command. */
  function recall(): void {
    let found: KeptWebhook | undefined;
    try {
      found = file.read();
    } catch (error) {
      logger.error("the secret of the webhook cannot be read", { file: file.path, reason: String(error) });
      return;
    }
    if (kept !== undefined && found !== undefined && found.secret !== kept.secret)
      logger.info("the webhook has a new secret; the one before stays valid until the new one has been seen, or a day");
    kept = found === undefined ? undefined : atTime(found, clock());
    deps.use(kept?.secret ?? "", kept?.previous?.secret ?? "");
    clearTimeout(expiry);
    if (kept?.previous !== undefined && !life.signal.aborted)
      expiry = setTimeout(retirePrevious, Math.max(0, kept.previous.until - clock()), "its time is over");
  }

  function retirePrevious(why: string): void {
    try {
      const current = file.read();
      if (current?.previous === undefined) return;
      file.write(withoutPrevious(current));
      logger.info("the former secret of the webhook is no longer accepted", { why });
    } catch (error) {
      if (quiet("unwritable") !== undefined)
        logger.error("the file of the webhook's secret cannot be written", { file: file.path, reason: String(error) });
      return;
    }
    recall();
  }

  /** Nothing that is written after the look is missed. */
  async function lookAndRecall(): Promise<void> {
    await watch?.watch([file.path]);
    recall();
  }

  return {
    recall() {
      if (!isSecretSet) recall();
    },
    start() {
      if (!isSecretSet) {
        watch = createFileWatch(watchMs, recall);
        void lookAndRecall();
      }
      const pass = isSecretSet
        ? () => settleSubscriptions(options, deps)
        : () => settle(options, file, deps).finally(lookAndRecall);
      settling = keepTrying("the webhook cannot be set up", pass, { ...deps, waits, signal: life.signal });
    },
    signedBy(secret) {
      if (kept?.previous !== undefined && secret === kept.secret)
        retirePrevious("a delivery was signed with the new one");
    },
    async stop(deadlineMs) {
      life.abort();
      watch?.stop();
      clearTimeout(expiry);
      const late = new AbortController();
      await Promise.race([settling, pause(deadlineMs, late.signal)]);
      late.abort();
    },
  };
}

/** One pass: afterwards the webhook is there, is told of what is wanted, and its secret is in the file. */
async function settle(
  { url, subscriptions }: WebhookEndpointOptions,
  file: WebhookSecretFile,
  { api, logger, clock }: WebhookEndpointDeps,
): Promise<void> {
  const before = file.read();
  const endpoints = await api.webhooks();
  const ours = endpoints.filter((endpoint) => isSameAddress(endpoint.url, url));
  const known = ours.find(({ id }) => id === before?.id);
  const found = known ?? ours[0];
  const left = known === undefined ? endpoints.find(({ id }) => id === before?.id) : undefined;
  if (left !== undefined)
    logger.warn(
      "webhook.public_url is another now: the webhook with the former address stays at Tailscale until it is removed",
      {
        id: left.id,
        url: displayUrl(left.url),
      },
    );
  if (found === undefined) {
    const made = await api.createWebhook({ url, subscriptions });
    file.write(withNewSecret(before, made, clock()));
    logger.info("made a webhook at Tailscale; its secret is in the state directory", {
      id: made.id,
      url: displayUrl(url),
    });
    return;
  }
  if (known === undefined) {
    logger.warn(
      "took over a webhook whose secret is not known here, and rotates it: whoever knew it knows it no longer",
      {
        id: found.id,
        url: displayUrl(url),
      },
    );
    file.write(withNewSecret(before, await api.rotateWebhook(found.id), clock()));
  }
  if (ours.length > 1)
    logger.warn("several webhooks have this address: what the others send is refused", {
      url: displayUrl(url),
      others: ours.flatMap(({ id }) => (id === found.id ? [] : [id])).join(", "),
    });
  await subscribe(found, subscriptions, { api, logger });
}

/** Of a webhook whose secret the settings have, only what it is told of can be seen to. */
async function settleSubscriptions(
  { url, subscriptions }: WebhookEndpointOptions,
  { api, logger }: WebhookEndpointDeps,
): Promise<void> {
  const found = (await api.webhooks()).find((endpoint) => isSameAddress(endpoint.url, url));
  if (found !== undefined) return subscribe(found, subscriptions, { api, logger });
  logger.warn("no webhook is made: webhook.secret is set, and Tailscale chooses the secret of a new webhook itself", {
    url: displayUrl(url),
    remedy: "Remove webhook.secret, or make the webhook by hand.",
  });
}

async function subscribe(
  endpoint: WebhookEndpoint,
  wanted: readonly string[],
  { api, logger }: Pick<WebhookEndpointDeps, "api" | "logger">,
): Promise<void> {
  const { id, url, subscriptions } = endpoint;
  if (isSameSet(subscriptions, wanted)) {
    logger.info("the webhook at Tailscale is as it should be", { id, url: displayUrl(url) });
    return;
  }
  await api.updateWebhook(id, wanted);
  logger.info("changed what the webhook at Tailscale is told of", {
    id,
    url: displayUrl(url),
    added: wanted.filter((word) => !subscriptions.includes(word)).join(", ") || undefined,
    removed: subscriptions.filter((word) => !wanted.includes(word)).join(", ") || undefined,
  });
}

function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  const words = new Set(one);
  return words.size === new Set(other).size && other.every((word) => words.has(word));
}
