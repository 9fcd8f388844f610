/** The secrets of webhooks on the command line: kept where the service finds them, else shown once. */
import { type Config, displayUrl } from "../config/index.ts";
import { systemClock } from "../lib/clock.ts";
import { isSameAddress, publicAddress } from "../tailscale/public-address.ts";
import type { WebhookEndpoint, WebhookWithSecret } from "../tailscale/types.ts";
import { webhookSecretFile, type WebhookSecretFile, withNewSecret } from "../tailscale/webhook-secret.ts";
import type { TailnetAccess } from "./tailnet.ts";

/** The file in which the service keeps the secret of the webhook with this address, if it does. */
export function secretKeeper(url: string, { config, stateDirectory }: TailnetAccess): WebhookSecretFile | undefined {
  const { auto_configure: isAutomatic, secret } = config.webhook;
  if (!isAutomatic || secret !== "" || stateDirectory === undefined || !isOurs({ url }, config)) return undefined;
  return webhookSecretFile(stateDirectory);
}

/** Keeps the secret of a webhook that was made or rotated. Nothing where it is not kept, and must be shown. */
export function keepSecret(made: WebhookWithSecret, access: TailnetAccess): WebhookSecretFile | undefined {
  const file = secretKeeper(made.url, access);
  if (file === undefined) return undefined;
  try {
    file.write(withNewSecret(file.read(), made, systemClock()));
  } catch {
    // Tailscale does not tell it again, so the person is told.
    return undefined;
  }
  return file;
}

/** What is shown of it: where the secret is, or the secret. */
export function secretResult(
  what: "created" | "rotated",
  made: WebhookWithSecret,
  file: WebhookSecretFile | undefined,
): { readonly json: object; readonly text: string } {
  const begin = `${made.id}: ${what} for ${displayUrl(made.url)}`;
  if (file !== undefined) {
    return {
      json: { ...told(made), result: what, secretFile: file.path },
      text: `${begin}; its secret is in ${file.path}\n`,
    };
  }
  return {
    json: { ...told(made), result: what, secret: made.secret },
    text: `${begin}\nsecret: ${made.secret}\nIt is not shown again: set webhook.secret to it.\n`,
  };
}

/** Whether it calls the receiver of this configuration. */
export function isOurs({ url }: Pick<WebhookEndpoint, "url">, { webhook }: Config): boolean {
  return webhook.public_url !== "" && isSameAddress(url, publicAddress(webhook.public_url, webhook.path));
}

/** A webhook as it is shown, without its secret. */
export function told({ id, url, providerType, subscriptions, created, lastModified }: WebhookEndpoint): object {
  return { id, url: displayUrl(url), providerType, subscriptions, created, lastModified };
}
