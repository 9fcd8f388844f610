/** The webhook that this program maintains at Tailscale, with its secret: one private file of the state directory. */
import { join } from "node:path";
import { readPrivateFile, removePrivateFile, writePrivateFile } from "../lib/private-file.ts";
import { isObject } from "../records/members.ts";
import { memoryPath } from "../journal/index.ts";
import type { WebhookWithSecret } from "./types.ts";

export interface KeptWebhook {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
  /** The one before, valid until the new one has been seen, at the latest until then (epoch milliseconds). */
  readonly previous?: { readonly secret: string; readonly until: number };
}

export interface WebhookSecretFile {
  /** `:memory:` if it is not on disk. */
  readonly path: string;
  /** Nothing if there is none, or if it is damaged. @throws {Error} if it cannot be read. */
  read(): KeptWebhook | undefined;
  /** @throws {Error} if it cannot be written. */
  write(webhook: KeptWebhook): void;
  remove(): void;
}

/** Tailscale retries a delivery for this long. */
const previousMs = 24 * 3_600_000;

/** The file in a state directory; held in memory, for as long as the returned object, if the path says so. */
export function webhookSecretFile(statePath: string): WebhookSecretFile {
  if (statePath === memoryPath) return inMemory();
  const path = join(statePath, "webhook.json");
  return {
    path,
    read: () => decode(readPrivateFile(path)),
    write: (webhook) => writePrivateFile(path, `${JSON.stringify(webhook, undefined, 2)}\n`),
    remove: () => removePrivateFile(path),
  };
}

function inMemory(): WebhookSecretFile {
  let kept: KeptWebhook | undefined;
  return {
    path: memoryPath,
    read: () => kept,
    write: (webhook) => void (kept = webhook),
    remove: () => void (kept = undefined),
  };
}

/** What to store of a webhook that was created or rotated at `now`; a secret known from before stays valid for a day. */
export function withNewSecret(before: KeptWebhook | undefined, made: WebhookWithSecret, now: number): KeptWebhook {
  const { id, url, secret } = made;
  if (before === undefined || before.secret === secret) return { id, url, secret };
  return { id, url, secret, previous: { secret: before.secret, until: now + previousMs } };
}

/** Without a former secret that has expired. */
export function atTime(kept: KeptWebhook, now: number): KeptWebhook {
  return kept.previous === undefined || now < kept.previous.until ? kept : withoutPrevious(kept);
}

export function withoutPrevious({ id, url, secret }: KeptWebhook): KeptWebhook {
  return { id, url, secret };
}

function decode(text: string | undefined): KeptWebhook | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { id, url, secret, previous } = value;
  if (!isText(id) || !isText(url) || !isText(secret)) return undefined;
  if (!isObject(previous) || !isText(previous["secret"]) || typeof previous["until"] !== "number")
    return { id, url, secret };
  return { id, url, secret, previous: { secret: previous["secret"], until: previous["until"] } };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
