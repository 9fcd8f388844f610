/** The `send hec` and `send webhook` commands: send one realistic request to any receiver and print its response. */
import {
  type ConfigSources,
  displayUrl,
  loadSections,
  type TailnetConfig,
  tailnetPath,
  usesTls,
  variableOf,
} from "../config/index.ts";
import { certificateName } from "../http/tailscaled.ts";
import { connectionError, messageOf } from "../lib/system-error.ts";
import { urlOfListen } from "../lib/listen.ts";
import { printable } from "../lib/text.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { readText } from "../tailscale/client.ts";
import { webhookSecretFile } from "../tailnet/webhook.ts";
import { type Command, command } from "./command.ts";
import { chosenTailnet, configFlags, option, tailnetFlag, urlOf } from "./flags.ts";
import type { Host } from "./terminal.ts";

const shared = {
  ...configFlags,
  ...tailnetFlag,
  url: option("address", "Full address to send to. (Default: the receiver of the configuration, on this machine)"),
} as const;

const sendWebhook: Command = command({
  name: "send webhook",
  description: "Send a signed webhook to a receiver, and print its answer",
  args: {
    ...shared,
    type: option("type", "Type of the event. (Default: test)"),
  },
  examples: [
    ["tailscale2otel send webhook", "to the receiver on this machine"],
    ["tailscale2otel send webhook --url https://hooks.example.com/tailscale/webhook", "through the public address"],
  ],
  notes:
    "It is signed with webhook.secret of the configuration (TS2OTEL_WEBHOOK__SECRET is enough), or with the secret that the service stores with webhook.auto_configure. Exit code 0 if the answer is 2xx.",
  async run({ args, sources, host }) {
    const target = await targetOf("webhook", args, sources);
    const body = JSON.stringify([sampleEvent(args.type ?? "test", Date.now())]);
    const { secret, remark } = signingOf(target.tailnet);
    const signature = signatureHeaderOf(secret, Math.floor(Date.now() / 1000), body);
    return post({ ...target, body, headers: secret === "" ? {} : { [signatureHeader]: signature }, remark }, host);
  },
});

const sendHec: Command = command({
  name: "send hec",
  description: "Send a flow and an audit record to a stream receiver, and print its answer",
  args: shared,
  examples: [
    ["tailscale2otel send hec", "to the receiver on this machine"],
    ["tailscale2otel send hec --url https://node.tail1234.ts.net:8088/services/collector/event", "by its tailnet name"],
  ],
  notes:
    "The token is streaming.token of the configuration (TS2OTEL_STREAMING__TOKEN is enough). Exit code 0 if the answer is 2xx.",
  async run({ args, sources, host }) {
    const target = await targetOf("streaming", args, sources);
    const { config, keyOf } = target.tailnet;
    const { token } = config.streaming;
    const key = keyOf("streaming.token");
    const headers = token === "" ? {} : { authorization: `Splunk ${token}` };
    const remark = token === "" ? `without a token: ${key} is empty` : `with ${key}`;
    return post({ ...target, body: sampleBatch(Date.now()), headers, remark }, host);
  },
});

export const sendCommands: readonly Command[] = [sendHec, sendWebhook];

function signingOf({ config, keyOf }: TailnetConfig): { readonly secret: string; readonly remark: string } {
  const { webhook, state } = config;
  const key = keyOf("webhook.secret");
  if (webhook.secret !== "") return { secret: webhook.secret, remark: `signed with ${key}` };
  const stored = webhook.auto_configure ? storedSecret(state.path, key) : undefined;
  return stored === undefined
    ? { secret: "", remark: `not signed: ${key} is empty` }
    : { secret: stored.secret, remark: "signed with the secret in the state directory" };
}

/** `key`: the setting that would replace the secret. @throws {Error} with what to do if the file exists but cannot be read. */
function storedSecret(statePath: string, key: string) {
  try {
    return webhookSecretFile(statePath).read();
  } catch (error) {
    throw new Error(`${messageOf(error)}. Run this as the user of the service, or set ${key}.`, {
      cause: error,
    });
  }
}

type Receiver = "streaming" | "webhook";

type TargetArgs = Readonly<Partial<Record<"url" | "tailnet", string | undefined>>>;

/** `next`: what to do if nothing responds. */
async function targetOf(receiver: Receiver, { url: given, tailnet: chosen }: TargetArgs, sources: ConfigSources) {
  const { config: all, configFile } = loadSections(sources, [receiver, "tailnet"]);
  const tailnet = chosenTailnet(all, chosen);
  const { name, config, keyOf } = tailnet;
  const isConfigured = configFile !== undefined;
  const { enabled, listen, path, tls } = config[receiver];
  if (given !== undefined) {
    const next = "Check the address, and whether the receiver is running.";
    return { receiver, tailnet, url: urlOf(given).href, next, isConfigured };
  }
  const local = new URL(
    urlOfListen(listen, usesTls(tls) ? "https" : "http") + (name === "" ? path : tailnetPath(name, path)),
  );
  // tailscaled's certificate is for this node's name, not for an address.
  if (tls.tailscale) local.hostname = await certificateName(config.tailscale).catch(() => local.hostname);
  const url = local.href;
  // Disabled for all tailnets, or only for this one.
  const off = all[receiver].enabled ? keyOf(`${receiver}.enabled`) : `${receiver}.enabled`;
  const next = enabled
    ? "Start the service, or give the address of the receiver with --url."
    : `${off} is false in this configuration. Set it to true and start the service, or give the address of a receiver with --url.`;
  return { receiver, tailnet, url, next, isConfigured };
}

type Target = Awaited<ReturnType<typeof targetOf>>;

interface Sending extends Target {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** How the request is authenticated. */
  readonly remark: string;
}

const timeoutMs = 35_000;

const maxAnswerBytes = 64 * 1024;

/** No receiver's response is longer. */
const maxShownCharacters = 2000;

async function post(sending: Sending, { out }: Host): Promise<number> {
  const { url, body, headers, remark, next } = sending;
  const beganMs = performance.now();
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    const why = connectionError(error, new URL(url).host);
    const scheme = why.startsWith("TLS") ? " A receiver without TLS needs http:// in the address." : "";
    throw new Error(`no answer: ${why}. ${next}${scheme}`);
  });
  await out.write(`POST ${displayUrl(url)} (${body.length} bytes, ${remark})\n`);
  // If the response is endless, truncated or not text, the reason is shown instead.
  const read = await readText(response, maxAnswerBytes).catch(
    (error: unknown) => `(cannot be read: ${messageOf(error)})`,
  );
  const text = printable(read.trim());
  const tookMs = Math.round(performance.now() - beganMs);
  const shown = text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text;
  const lines = [`${response.status} ${printable(response.statusText)} in ${tookMs} ms`, shown];
  await out.write(
    [...lines, fixFor(response.status, sending)].map((line) => (line === "" ? "" : `${line}\n`)).join(""),
  );
  return response.ok ? 0 : 1;
}

/** What to do about a response; empty if unknown. */
function fixFor(status: number, { receiver, tailnet, isConfigured }: Sending): string {
  const key = tailnet.keyOf(receiver === "streaming" ? "streaming.token" : "webhook.secret");
  if (status === 401 || status === 403)
    return `Set ${key} (${variableOf(key)}) to the one that the receiver uses.${
      isConfigured ? "" : " No configuration file was found: run this in its folder, or name it with --config."
    }`;
  if (status === 503) return "The receiver accepts nothing now: tailscale2otel status says why.";
  return status === 404 ? `Check the path: it must be ${receiver}.path of the receiver.` : "";
}

/** Part of the names in all samples, so that they are not mistaken for real records. */
const sampleName = "tailscale2otel-send";
const nodeName = `${sampleName}.tail1234.ts.net`;

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

/** A stream body of one flow record and one audit record without a separator, as Tailscale sends them. */
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
    eventGroupID: `${sampleName}-${now}`,
    origin: "CONFIG_API",
    actor: { id: "uSENDCNTRL", type: "USER", loginName: "send@example.com", displayName: sampleName },
    target: { id: "nSENDCNTRL", name: nodeName, type: "NODE", property: "ACL_TAGS" },
    action: "UPDATE",
    new: ["tag:test"],
  };
  return [flow, audit].map((event) => JSON.stringify({ time: now / 1000, event, fields })).join("");
}
