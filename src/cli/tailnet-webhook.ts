/** `tailnet webhook …`: the webhooks of the tailnet. */
import { type Config, displayUrl, subscriptionsOf, subscriptionTypes } from "../config/index.ts";
import { subscriptionWords } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { nearest } from "../lib/text.ts";
import { isSameAddress, publicAddress } from "../tailscale/public-address.ts";
import type { WebhookEndpoint } from "../tailscale/types.ts";
import { type Command, command } from "./command.ts";
import { UsageError } from "./flags.ts";
import { isOurs, keepSecret, secretKeeper, secretResult, told } from "./kept-secret.ts";
import { repeatableConfigFlags } from "./sources.ts";
import { tableText } from "./table.ts";
import {
  isConfirmed,
  leaveAlone,
  openTailnet,
  showResult,
  type TailnetAccess,
  tailnetFlags,
  yesFlag,
} from "./tailnet.ts";

const idFlag = {
  id: {
    type: "string",
    valueHint: "id",
    description: "Which webhook, as list shows it. (Default: the one whose address is webhook.public_url)",
  },
} as const;

export const tailnetWebhookListCommand: Command = command({
  name: "tailnet webhook list",
  description: "List the webhooks of the tailnet",
  args: tailnetFlags,
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel tailnet webhook list", ""],
    ["tailscale2otel tailnet webhook list --json | jq .[].id", "for programs"],
  ],
  notes: "Needs the scope webhooks:read.",
  async run({ args, flags, host }) {
    const { config, api } = openTailnet(flags, host, "webhook");
    const endpoints = await api.webhooks();
    await showResult(host, args.json, {
      json: endpoints.map((endpoint) => ({ ...told(endpoint), isOurs: isOurs(endpoint, config) })),
      text:
        endpoints.length === 0
          ? "there are no webhooks\n"
          : tableText(
              ["id", "to", "address", "created", "subscriptions"],
              endpoints.map((endpoint) => rowOf(endpoint, config)),
              host.out,
            ),
    });
    return 0;
  },
});

export const tailnetWebhookCreateCommand: Command = command({
  name: "tailnet webhook create",
  description: "Create a webhook for the webhook receiver",
  args: {
    ...tailnetFlags,
    url: { type: "string", valueHint: "url", description: "Its address. (Default: webhook.public_url)" },
    subscriptions: {
      type: "string",
      valueHint: "list",
      description: "What it is told of, separated by commas. (Default: webhook.subscriptions)",
    },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel tailnet webhook create", "as the settings say"],
    [
      "tailscale2otel tailnet webhook create --url https://hooks.example.com/tailscale/webhook --subscriptions nodeCreated,policyUpdate",
      "another one",
    ],
  ],
  notes: `Needs the scope webhooks. The secret is printed once, unless the service keeps it (webhook.auto_configure).\nSubscriptions: all, ${subscriptionTypes.join(", ")}.`,
  async run({ args, flags, host }) {
    const access = openTailnet(flags, host, "webhook");
    const url = urlOf(args.url, access.config);
    const subscriptions = subscriptionsOf(
      args.subscriptions === undefined ? access.config.webhook.subscriptions : wordsOf(args.subscriptions),
    );
    const present = (await access.api.webhooks()).find((endpoint) => isSameAddress(endpoint.url, url));
    if (present !== undefined) {
      throw new Error(
        `webhook ${present.id} has that address already. To have its secret: tailnet webhook rotate --id ${present.id}`,
      );
    }
    const made = await access.api.createWebhook({ url, subscriptions });
    await showResult(host, args.json, secretResult("created", made, keepSecret(made, access)));
    return 0;
  },
});

export const tailnetWebhookRotateCommand: Command = command({
  name: "tailnet webhook rotate",
  description: "Give a webhook a new secret",
  args: { ...tailnetFlags, ...idFlag, ...yesFlag },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel tailnet webhook rotate", "a running service with webhook.auto_configure takes it over by itself"],
    ["tailscale2otel tailnet webhook rotate --id 12345 --yes", "another one; its secret is printed once"],
  ],
  notes:
    "Needs the scope webhooks. Tailscale signs with the new secret at once. Where the service keeps it, the one before stays valid until the new one has been seen, or a day.",
  async run({ args, flags, host }) {
    const access = openTailnet(flags, host, "webhook");
    const endpoint = await chosen(args.id, access);
    const isSafe = secretKeeper(endpoint.url, access) !== undefined;
    const question = `Whoever checks signatures of webhook ${endpoint.id} (${displayUrl(endpoint.url)}) needs the new secret at once. Rotate it?`;
    if (!isSafe && !(await isConfirmed(host, args.yes, question))) return leaveAlone(host);
    const rotated = await access.api.rotateWebhook(endpoint.id);
    await showResult(host, args.json, secretResult("rotated", rotated, keepSecret(rotated, access)));
    return 0;
  },
});

export const tailnetWebhookTestCommand: Command = command({
  name: "tailnet webhook test",
  description: "Let Tailscale send a test event to a webhook",
  args: { ...tailnetFlags, ...idFlag },
  repeatable: repeatableConfigFlags,
  examples: [["tailscale2otel tailnet webhook test", "arrives within seconds, as tailscale.webhook.test"]],
  notes: "Needs the scope webhooks.",
  async run({ args, flags, host }) {
    const access = openTailnet(flags, host, "webhook");
    const endpoint = await chosen(args.id, access);
    await access.api.testWebhook(endpoint.id);
    await showResult(host, args.json, {
      json: { id: endpoint.id, url: displayUrl(endpoint.url), result: "queued" },
      text: `${endpoint.id}: Tailscale will send a test event to ${displayUrl(endpoint.url)}\n`,
    });
    return 0;
  },
});

export const tailnetWebhookRemoveCommand: Command = command({
  name: "tailnet webhook remove",
  description: "Remove a webhook",
  args: { ...tailnetFlags, ...idFlag, ...yesFlag },
  repeatable: repeatableConfigFlags,
  examples: [["tailscale2otel tailnet webhook remove --id 12345", "asks before it does"]],
  notes: "Needs the scope webhooks. With webhook.auto_configure, the next start of the service makes it again.",
  async run({ args, flags, host }) {
    const access = openTailnet(flags, host, "webhook");
    const endpoint = await chosen(args.id, access);
    const question = `Remove webhook ${endpoint.id} (${displayUrl(endpoint.url)})?`;
    if (!(await isConfirmed(host, args.yes, question))) return leaveAlone(host);
    await access.api.deleteWebhook(endpoint.id);
    const file = secretKeeper(endpoint.url, access);
    if (file?.read()?.id === endpoint.id) file.remove();
    await showResult(host, args.json, {
      json: { id: endpoint.id, url: displayUrl(endpoint.url), result: "removed" },
      text: `${endpoint.id}: removed\n`,
    });
    if (access.config.webhook.auto_configure && isOurs(endpoint, access.config))
      await host.err.write("webhook.auto_configure is on: the next start of the service makes it again\n");
    return 0;
  },
});

/** The webhook that is meant. @throws {Error} where none or more than one could be. */
async function chosen(id: string | undefined, { api, config }: TailnetAccess): Promise<WebhookEndpoint> {
  const endpoints = await api.webhooks();
  const found = endpoints.filter((endpoint) => (id === undefined ? isOurs(endpoint, config) : endpoint.id === id));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const known = endpoints.map((endpoint) => `${endpoint.id} (${displayUrl(endpoint.url)})`).join(", ");
  const there = endpoints.length === 0 ? "there are none" : `there are ${known}`;
  if (id !== undefined) throw new Error(`no webhook has the id ${JSON.stringify(id)}; ${there}`);
  const reason =
    config.webhook.public_url === ""
      ? "webhook.public_url is not set"
      : `${found.length === 0 ? "no webhook has" : "several webhooks have"} the address of webhook.public_url`;
  throw new Error(`say which webhook with --id: ${reason}; ${there}`);
}

/** @throws {ConfigError | UsageError} */
function urlOf(flag: string | undefined, { webhook }: Config): string {
  if (flag === undefined) {
    if (webhook.public_url === "")
      throw new ConfigError(["the webhook has no address: set webhook.public_url, or give --url"]);
    return publicAddress(webhook.public_url, webhook.path);
  }
  if (URL.canParse(flag) && /^https?:\/\//i.test(flag)) return publicAddress(flag, webhook.path);
  throw new UsageError(`--url takes an address that begins with https://, not ${JSON.stringify(flag)}`);
}

/** @throws {UsageError} */
function wordsOf(list: string): readonly string[] {
  const words = list.split(",").map((word) => word.trim());
  const unknown = words.find((word) => !subscriptionWords.includes(word));
  if (unknown === undefined) return words;
  const meant = nearest(unknown, subscriptionWords);
  throw new UsageError(
    `nothing can be subscribed to as ${JSON.stringify(unknown)}${meant === undefined ? "" : `; did you mean ${meant}?`}`,
  );
}

function rowOf(endpoint: WebhookEndpoint, config: Config): readonly string[] {
  const { id, url, subscriptions, created } = endpoint;
  const isAll = subscriptionTypes.every((type) => subscriptions.includes(type));
  const place = isOurs(endpoint, config) ? "this receiver" : "elsewhere";
  return [id, place, displayUrl(url), created, isAll ? "all" : subscriptions.join(", ")];
}
