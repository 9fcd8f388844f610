/** The webhook that this program maintains at Tailscale, with its secret: one private file in the state directory. */
import { join } from "node:path";
import { memoryPath } from "../journal/index.ts";
import { openPrivateFile } from "../lib/private-file.ts";
import { isObject } from "../records/members.ts";
import type { WebhookWithSecret } from "../tailscale/index.ts";

export interface StoredWebhook {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
  /** The secret before, accepted until the new one has been seen, at the latest until then (epoch milliseconds). */
  readonly previous?: { readonly secret: string; readonly until: number };
}

export interface WebhookSecretFile {
  /** `:memory:` if it is not on disk. */
  readonly path: string;
  /** `undefined` if there is none, or if it is damaged. @throws {Error} if it cannot be read. */
  read(): StoredWebhook | undefined;
  /** @throws {Error} if it cannot be written. */
  write(webhook: StoredWebhook): void;
  /** So that no secret is made that cannot be stored. @throws {Error} if nothing can be written there. */
  proveWritable(): void;
  remove(): void;
}

/** Tailscale retries a delivery for this long. */
const previousMs = 24 * 3_600_000;

/** The file in a state directory, or in memory for as long as the returned object if that is `:memory:`. */
export function webhookSecretFile(statePath: string): WebhookSecretFile {
  const file = openPrivateFile(statePath === memoryPath ? undefined : join(statePath, "webhook.json"));
  return {
    path: file.path ?? memoryPath,
    read: () => decode(file.read()),
    write: (webhook) => file.write(`${JSON.stringify(webhook, undefined, 2)}\n`),
    proveWritable: () => file.proveWritable(),
    remove: () => file.remove(),
  };
}

/** What to store after a creation or rotation at `now`: the secret before stays valid for a day. */
export function withNewSecret(before: StoredWebhook | undefined, made: WebhookWithSecret, now: number): StoredWebhook {
  const { id, url, secret } = made;
  if (before === undefined || before.secret === secret) return { id, url, secret };
  return { id, url, secret, previous: { secret: before.secret, until: now + previousMs } };
}

export function withoutPrevious({ id, url, secret }: StoredWebhook): StoredWebhook {
  return { id, url, secret };
}

function decode(text: string | undefined): StoredWebhook | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "null");
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
