/** `send webhook` and `send hec`: one real-shaped request to a receiver, wherever it is, and its answer. */
import { type Config, displayUrl, loadSections } from "../config/index.ts";
import { memoryPath } from "../journal/index.ts";
import { urlOfListen } from "../lib/listen.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { webhookSecretFile } from "../tailscale/webhook-secret.ts";
import { type Command, command } from "./command.ts";
import type { Flags } from "./flags.ts";
import { UsageError } from "./flags.ts";
import { sampleBatch, sampleEvent } from "./sample.ts";
import { configFlags, repeatableConfigFlags, sourcesOf } from "./sources.ts";
import type { Host } from "./terminal.ts";

const shared = {
  ...configFlags,
  url: {
    type: "string",
    valueHint: "address",
    description: "The full address to send to. (Default: the receiver of the configuration, on this machine)",
  },
} as const;

export const sendWebhookCommand: Command = command({
  name: "send webhook",
  description: "Send a signed webhook to a receiver, and print its answer",
  args: {
    ...shared,
    type: { type: "string", valueHint: "type", description: "The type of the event. (Default: test)" },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel send webhook", "to the receiver on this machine"],
    ["tailscale2otel send webhook --url https://hooks.example.com/tailscale/webhook", "through the public address"],
  ],
  notes:
    "The secret is webhook.secret of the configuration (a variable will do: TS2OTEL_WEBHOOK__SECRET), or the one that the service stores with webhook.auto_configure. Exit code 0 if the answer is 2xx.",
  run({ args, flags, host }) {
    const config = settingsOf(flags, host);
    const { webhook } = config;
    const body = JSON.stringify([sampleEvent(args.type ?? "test", Date.now())]);
    const seconds = Math.floor(Date.now() / 1000);
    const { secret, remark } = signingOf(config);
    return post(host, {
      url: addressOf(args.url, webhook),
      body,
      headers: secret === "" ? {} : { [signatureHeader]: signatureHeaderOf(secret, seconds, body) },
      remark,
    });
  },
});

export const sendHecCommand: Command = command({
  name: "send hec",
  description: "Send a flow and an audit record to a stream receiver, and print its answer",
  args: shared,
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel send hec", "to the receiver on this machine"],
    ["tailscale2otel send hec --url https://node.tail1234.ts.net:8088/services/collector/event", "through its name"],
  ],
  notes:
    "The token is streaming.token of the configuration; a variable will do: TS2OTEL_STREAMING__TOKEN. Exit code 0 if the answer is 2xx.",
  run({ args, flags, host }) {
    const { streaming } = settingsOf(flags, host);
    const { token } = streaming;
    return post(host, {
      url: addressOf(args.url, streaming),
      body: sampleBatch(Date.now()),
      headers: token === "" ? {} : { authorization: `Splunk ${token}` },
      remark: token === "" ? "without a token: streaming.token is empty" : "with streaming.token",
    });
  },
});

/** An empty secret is none. With `webhook.auto_configure`, the service stores it. */
function signingOf({ webhook, state }: Config): { readonly secret: string; readonly remark: string } {
  if (webhook.secret !== "") return { secret: webhook.secret, remark: "signed with webhook.secret" };
  const isKept = webhook.auto_configure && state.path !== memoryPath;
  const kept = isKept ? webhookSecretFile(state.path).read() : undefined;
  if (kept !== undefined) return { secret: kept.secret, remark: "signed with the secret in the state directory" };
  return { secret: "", remark: "not signed: webhook.secret is empty" };
}

/** @throws {ConfigError} if the configuration file cannot be read, or a flag or a setting of the receivers is invalid. */
function settingsOf(flags: Flags, host: Host): Config {
  return loadSections(sourcesOf(flags, host), ["streaming", "webhook"]).config;
}

function addressOf(url: string | undefined, receiver: Config["streaming"] | Config["webhook"]): string {
  if (url === undefined) {
    const { listen, path, tls } = receiver;
    return urlOfListen(listen, tls.cert_file === "" ? "http" : "https") + path;
  }
  if (URL.canParse(url) && /^https?:\/\//i.test(url)) return url;
  throw new UsageError(`--url takes an address that begins with http:// or https://, not ${JSON.stringify(url)}`);
}

interface Sending {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remark: string;
}

const timeoutMs = 35_000;

/** A longer answer is not one of a receiver. */
const maxShownCharacters = 2000;

async function post(host: Host, { url, body, headers, remark }: Sending): Promise<number> {
  await host.out.write(`POST ${displayUrl(url)} (${body.length} bytes, ${remark})\n`);
  const beganMs = performance.now();
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Error(`no answer: ${error instanceof Error ? error.message : String(error)}`);
  });
  const text = (await response.text()).trim();
  const tookMs = Math.round(performance.now() - beganMs);
  const shown = text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text;
  await host.out.write(
    `${response.status} ${response.statusText} in ${tookMs} ms\n${shown === "" ? "" : `${shown}\n`}`,
  );
  return response.ok ? 0 : 1;
}
