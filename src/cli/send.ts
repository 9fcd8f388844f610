/** `send hec` and `send webhook`: one realistic request to a receiver, wherever it is, and its answer. */
import { type Config, displayUrl, loadSections } from "../config/index.ts";
import { memoryPath } from "../journal/index.ts";
import { urlOfListen } from "../lib/listen.ts";
import { printable } from "../lib/text.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { webhookSecretFile } from "../tailnet/webhook.ts";
import { whyNoAnswer } from "./admin-client.ts";
import { type Command, command } from "./command.ts";
import { configFlags, option, sourcesOf, urlOf } from "./flags.ts";
import type { Host } from "./terminal.ts";

const shared = {
  ...configFlags,
  url: option("address", "The full address to send to. (Default: the receiver of the configuration, on this machine)"),
} as const;

const sendWebhook: Command = command({
  name: "send webhook",
  description: "Send a signed webhook to a receiver, and print its answer",
  args: {
    ...shared,
    type: option("type", "The type of the event. (Default: test)"),
  },
  examples: [
    ["tailscale2otel send webhook", "to the receiver on this machine"],
    ["tailscale2otel send webhook --url https://hooks.example.com/tailscale/webhook", "through the public address"],
  ],
  notes:
    "It is signed with webhook.secret of the configuration (TS2OTEL_WEBHOOK__SECRET is enough), or with the secret that the service stores with webhook.auto_configure. Exit code 0 if the answer is 2xx.",
  run({ args, flags, host }) {
    const { config } = loadSections(sourcesOf(flags, host), ["webhook"]);
    const body = JSON.stringify([sampleEvent(args.type ?? "test", Date.now())]);
    const seconds = Math.floor(Date.now() / 1000);
    const { secret, remark } = signingOf(config);
    const headers = secret === "" ? {} : { [signatureHeader]: signatureHeaderOf(secret, seconds, body) };
    return post(host, { ...targetOf(args.url, "webhook", config), body, headers, remark });
  },
});

const sendHec: Command = command({
  name: "send hec",
  description: "Send a flow and an audit record to a stream receiver, and print its answer",
  args: shared,
  examples: [
    ["tailscale2otel send hec", "to the receiver on this machine"],
    ["tailscale2otel send hec --url https://node.tail1234.ts.net:8088/services/collector/event", "through its name"],
  ],
  notes:
    "The token is streaming.token of the configuration (TS2OTEL_STREAMING__TOKEN is enough). Exit code 0 if the answer is 2xx.",
  run({ args, flags, host }) {
    const { config } = loadSections(sourcesOf(flags, host), ["streaming"]);
    const { token } = config.streaming;
    return post(host, {
      ...targetOf(args.url, "streaming", config),
      body: sampleBatch(Date.now()),
      headers: token === "" ? {} : { authorization: `Splunk ${token}` },
      remark: token === "" ? "without a token: streaming.token is empty" : "with streaming.token",
    });
  },
});

export const sendCommands: readonly Command[] = [sendHec, sendWebhook];

function signingOf({ webhook, state }: Config): { readonly secret: string; readonly remark: string } {
  if (webhook.secret !== "") return { secret: webhook.secret, remark: "signed with webhook.secret" };
  const isStored = webhook.auto_configure && state.path !== memoryPath;
  const stored = isStored ? webhookSecretFile(state.path).read() : undefined;
  if (stored !== undefined) return { secret: stored.secret, remark: "signed with the secret in the state directory" };
  return { secret: "", remark: "not signed: webhook.secret is empty" };
}

function targetOf(url: string | undefined, receiver: "streaming" | "webhook", config: Config) {
  if (url !== undefined) return { url: urlOf(url).href, hint: "" };
  const { enabled, listen, path, tls } = config[receiver];
  return {
    url: urlOfListen(listen, tls.cert_file === "" ? "http" : "https") + path,
    hint: enabled
      ? ". Start the service, or give the address of the receiver with --url"
      : `: ${receiver}.enabled is false in this configuration`,
  };
}

interface Sending {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remark: string;
  /** What may be wrong if nothing answers. */
  readonly hint: string;
}

const timeoutMs = 35_000;

/** A longer answer is not one of a receiver. */
const maxShownCharacters = 2000;

async function post(host: Host, { url, body, headers, remark, hint }: Sending): Promise<number> {
  await host.out.write(`POST ${displayUrl(url)} (${body.length} bytes, ${remark})\n`);
  const beganMs = performance.now();
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Error(`no answer: ${whyNoAnswer(error, url)}${hint}`);
  });
  const text = printable((await response.text()).trim());
  const tookMs = Math.round(performance.now() - beganMs);
  const shown = text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text;
  const status = `${response.status} ${printable(response.statusText)} in ${tookMs} ms\n`;
  await host.out.write(shown === "" ? status : `${status}${shown}\n`);
  return response.ok ? 0 : 1;
}

/** In names of all samples, so that nobody mistakes them for real records. */
const name = "tailscale2otel-send";
const nodeName = `${name}.tail1234.ts.net`;

function sampleEvent(type: string, now: number): object {
  return {
    timestamp: new Date(now).toISOString(),
    version: 1,
    type,
    tailnet: "example.com",
    message: `A ${type} event by tailscale2otel send`,
    data: { nodeID: "nSENDCNTRL", deviceName: nodeName, managedBy: "send@example.com", actor: "send@example.com" },
  };
}

/** A stream body: one flow record and one audit record, one directly after the other, as Tailscale writes them. */
function sampleBatch(now: number): string {
  const fields = { recorded: new Date(now).toISOString() };
  const flow = {
    nodeId: "nSENDCNTRL",
    start: new Date(now - 5000).toISOString(),
    end: new Date(now).toISOString(),
    srcNode: { nodeId: "nSENDCNTRL", name: nodeName, addresses: ["100.64.0.1"], user: "send@example.com" },
    virtualTraffic: [
      { proto: 6, src: "100.64.0.1:50000", dst: "100.64.0.2:443", txPkts: 1, txBytes: 64, rxPkts: 1, rxBytes: 64 },
    ],
  };
  const audit = {
    eventGroupID: `${name}-${now}`,
    origin: "CONFIG_API",
    actor: { id: "uSENDCNTRL", type: "USER", loginName: "send@example.com", displayName: name },
    target: { id: "nSENDCNTRL", name: nodeName, type: "NODE", property: "ACL_TAGS" },
    action: "UPDATE",
    new: ["tag:test"],
  };
  return [flow, audit].map((event) => JSON.stringify({ time: now / 1000, event, fields })).join("");
}
