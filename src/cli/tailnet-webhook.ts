/** The `tailnet webhook` commands, which manage the webhooks of the tailnet. */
import { type Config, displayUrl, subscriptionsOf, subscriptionTypes, subscriptionWords } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { memoryPath } from "../journal/index.ts";
import { systemClock } from "../lib/clock.ts";
import { nearest } from "../lib/text.ts";
import { isSameAddress, publicAddress } from "../tailnet/log-streams.ts";
import { webhookSecretFile, type WebhookSecretFile, withNewSecret } from "../tailnet/webhook.ts";
import type { WebhookEndpoint, WebhookWithSecret } from "../tailscale/index.ts";
import { type Command, command, type Invocation, type Outcome } from "./command.ts";
import { option, urlOf, UsageError } from "./flags.ts";
import { isConfirmed, openTailnet, type TailnetAccess, tailnetFlags, yesFlag } from "./tailnet.ts";
import { type Host, tableText } from "./terminal.ts";

const idFlag = {
  id: option(
    "id",
    "Id of the webhook, as tailnet webhook list shows it. (Default: the one whose address is webhook.public_url)",
  ),
} as const;

const list: Command = command({
  name: "tailnet webhook list",
  description: "List the webhooks of the tailnet",
  args: tailnetFlags,
  examples: [
    ["tailscale2otel tailnet webhook list", ""],
    ["tailscale2otel tailnet webhook list --json | jq .[].id", "for scripts"],
  ],
  notes: "Needs the scope webhooks:read.",
  async run({ args, sources, host }) {
    const { config, api } = openTailnet(sources, "webhook", args.tailnet);
    const endpoints = await api.webhooks();
    const head = ["id", "here", "address", "created", "subscriptions"];
    const rows = endpoints.map((endpoint) => rowOf(endpoint, config));
    const json = endpoints.map((endpoint) => ({ ...withoutSecret(endpoint), isOurs: isOurs(endpoint, config) }));
    const text = endpoints.length === 0 ? "there are no webhooks\n" : tableText(head, rows, host.out);
    return { text, json };
  },
});

const create: Command = command({
  name: "tailnet webhook create",
  description: "Create a webhook for the webhook receiver",
  args: {
    ...tailnetFlags,
    url: option("url", "Address of the webhook. (Default: webhook.public_url)"),
    subscriptions: option("list", "Event types, separated by commas. (Default: webhook.subscriptions)"),
  },
  examples: [
    ["tailscale2otel tailnet webhook create", "with the configured address and subscriptions"],
    [
      "tailscale2otel tailnet webhook create --url https://hooks.example.com/tailscale/webhook --subscriptions nodeCreated,policyUpdate",
      "for another address",
    ],
  ],
  notes: `Needs the scope webhooks. The secret is printed once, unless the service stores it (webhook.auto_configure).\nSubscriptions: ${subscriptionWords.join(", ")}.`,
  async run({ args, sources }) {
    const access = openTailnet(sources, "webhook", args.tailnet);
    const { webhook } = access.config;
    if (args.url === undefined && webhook.public_url === "")
      throw new ConfigError(["the webhook has no address: set webhook.public_url, or give --url"]);
    const url = publicAddress(args.url === undefined ? webhook.public_url : urlOf(args.url).href, webhook.path);
    const words = args.subscriptions === undefined ? webhook.subscriptions : wordsOf(args.subscriptions);
    const present = (await access.api.webhooks("set")).find((endpoint) => isSameAddress(endpoint.url, url));
    if (present !== undefined)
      throw new Error(
        `webhook ${present.id} has that address already. To get a new secret for it, run: tailscale2otel tailnet webhook rotate --id ${present.id}`,
      );
    const made = await access.api.createWebhook({ url, subscriptions: subscriptionsOf(words) });
    return withSecret("created", made, access);
  },
});

const rotate: Command = command({
  name: "tailnet webhook rotate",
  description: "Give a webhook a new secret",
  args: { ...tailnetFlags, ...idFlag, ...yesFlag },
  examples: [
    ["tailscale2otel tailnet webhook rotate", "a running service with webhook.auto_configure uses it at once"],
    ["tailscale2otel tailnet webhook rotate --id 12345 --yes", "another webhook; its secret is printed once"],
  ],
  notes:
    "Needs the scope webhooks. Tailscale signs with the new secret at once. If the service stores it, the old one stays valid until the new one has been seen, at most a day.",
  run: ({ args, sources, host }) =>
    withWebhook(args, sources, async (endpoint, access) => {
      const isSafe = secretFileOf(endpoint.url, access) !== undefined;
      const question = `Everything that verifies signatures of webhook ${endpoint.id} (${displayUrl(endpoint.url)}) needs the new secret at once. Rotate it?`;
      if (!isSafe && !(await isConfirmed(host, args.yes, question))) return declined(host);
      return withSecret("rotated", await access.api.rotateWebhook(endpoint.id), access);
    }),
});

const test: Command = command({
  name: "tailnet webhook test",
  description: "Make Tailscale send a test event to a webhook",
  args: { ...tailnetFlags, ...idFlag },
  examples: [["tailscale2otel tailnet webhook test", "arrives within seconds, as tailscale.webhook.test"]],
  notes: "Needs the scope webhooks.",
  run: ({ args, sources }) =>
    withWebhook(args, sources, async ({ id, url }, { api }) => {
      await api.testWebhook(id);
      const json = { id, url: displayUrl(url), result: "queued" };
      return { text: `${id}: Tailscale will send a test event to ${displayUrl(url)}\n`, json };
    }),
});

const remove: Command = command({
  name: "tailnet webhook remove",
  description: "Remove a webhook",
  args: { ...tailnetFlags, ...idFlag, ...yesFlag },
  examples: [["tailscale2otel tailnet webhook remove --id 12345", "asks first"]],
  notes: "Needs the scope webhooks. With webhook.auto_configure, the next start of the service creates it again.",
  run: ({ args, sources, host }) =>
    withWebhook(args, sources, async ({ id, url }, access) => {
      if (!(await isConfirmed(host, args.yes, `Remove webhook ${id} (${displayUrl(url)})?`))) return declined(host);
      await access.api.deleteWebhook(id);
      const file = secretFileOf(url, access);
      if (file?.read()?.id === id) file.remove();
      const removed = { text: `${id}: removed\n`, json: { id, url: displayUrl(url), result: "removed" } };
      if (!access.config.webhook.auto_configure || !isOurs({ url }, access.config)) return removed;
      return {
        ...removed,
        remark: `${access.keyOf("webhook.auto_configure")} is on: the next start of the service creates it again`,
      };
    }),
});

export const tailnetWebhookCommands: readonly Command[] = [list, create, rotate, test, remove];

/** Uses the webhook selected by id or by `webhook.public_url`. @throws {Error} unless exactly one matches. */
async function withWebhook(
  { id, tailnet }: { readonly id?: string | undefined; readonly tailnet?: string | undefined },
  sources: Invocation["sources"],
  use: (endpoint: WebhookEndpoint, access: TailnetAccess) => Promise<Outcome | number>,
): Promise<Outcome | number> {
  const access = openTailnet(sources, "webhook", tailnet);
  const { api, config } = access;
  const endpoints = await api.webhooks("set");
  const found = endpoints.filter((endpoint) => (id === undefined ? isOurs(endpoint, config) : endpoint.id === id));
  const [only] = found;
  if (only !== undefined && found.length === 1) return use(only, access);
  const known = endpoints.map((endpoint) => `${endpoint.id} (${displayUrl(endpoint.url)})`).join(", ");
  const present = endpoints.length === 0 ? "there are none" : `there are ${known}`;
  if (id !== undefined) throw new Error(`no webhook has the id ${JSON.stringify(id)}; ${present}`);
  const reason =
    config.webhook.public_url === ""
      ? "webhook.public_url is not set"
      : `${found.length === 0 ? "no webhook has" : "several webhooks have"} the address of webhook.public_url`;
  throw new Error(`select a webhook with --id: ${reason}; ${present}`);
}

/** @throws {UsageError} */
function wordsOf(text: string): readonly string[] {
  const words = text.split(",").map((word) => word.trim());
  const unknown = words.find((word) => !subscriptionWords.includes(word));
  if (unknown === undefined) return words;
  const meant = nearest(unknown, subscriptionWords);
  const suggestion = meant === undefined ? "" : `; did you mean ${meant}?`;
  throw new UsageError(`there is no event type ${JSON.stringify(unknown)}${suggestion}`);
}

function rowOf(endpoint: WebhookEndpoint, config: Config): readonly string[] {
  const { id, url, subscriptions, created } = endpoint;
  const isAll = subscriptionTypes.every((type) => subscriptions.includes(type));
  const here = config.webhook.public_url === "" ? "unknown" : isOurs(endpoint, config) ? "yes" : "no";
  return [id, here, displayUrl(url), created, isAll ? "all" : subscriptions.join(", ")];
}

/** The file in which the service stores the secret of the webhook with this URL, if it does. */
function secretFileOf(url: string, { config }: TailnetAccess): WebhookSecretFile | undefined {
  const { webhook, state } = config;
  if (!webhook.auto_configure || webhook.secret !== "" || !isOurs({ url }, config)) return undefined;
  return state.path === memoryPath ? undefined : webhookSecretFile(state.path);
}

/** Stores a new secret where the service finds it; otherwise prints it, because Tailscale never shows it again. */
async function withSecret(
  result: "created" | "rotated",
  made: WebhookWithSecret,
  access: TailnetAccess,
): Promise<Outcome> {
  const begin = `${made.id}: ${result} for ${displayUrl(made.url)}`;
  let path: string | undefined;
  try {
    const file = secretFileOf(made.url, access);
    file?.write(withNewSecret(file.read(), made, systemClock()));
    path = file?.path;
  } catch {
    // If it cannot be stored, it is printed.
  }
  const json = {
    ...withoutSecret(made),
    result,
    ...(path === undefined ? { secret: made.secret } : { secretFile: path }),
  };
  const text =
    path === undefined
      ? `${begin}\nsecret: ${made.secret}\nIt is not shown again. Store it as ${access.keyOf("webhook.secret")}.\n`
      : `${begin}; its secret is in ${path}\n`;
  return { text, json };
}

/** Reports that the user declined; returns the exit code. */
async function declined(host: Host): Promise<number> {
  await host.err.write("nothing was changed\n");
  return 1;
}

/** True if it calls the receiver of this configuration. */
function isOurs({ url }: Pick<WebhookEndpoint, "url">, { webhook }: Config): boolean {
  return webhook.public_url !== "" && isSameAddress(url, publicAddress(webhook.public_url, webhook.path));
}

function withoutSecret({ id, url, providerType, subscriptions, created, lastModified }: WebhookEndpoint): object {
  return { id, url: displayUrl(url), providerType, subscriptions, created, lastModified };
}
