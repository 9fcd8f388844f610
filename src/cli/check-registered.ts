/** `check --online`, what is registered at Tailscale for this instance: log-stream destinations and the webhook. */
import { type Config, displayUrl } from "../config/index.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { isSameAddress, isSentTo, publicAddress } from "../tailnet/log-streams.ts";
import type { LogName, LogStream, TailscaleApi } from "../tailscale/index.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

/** One finding for each log that is collected, if the receiver is enabled. */
export async function checkLogStreams(config: Config, api: TailscaleApi): Promise<readonly OnlineFinding[]> {
  const { collectors, streaming } = config;
  if (!streaming.enabled) return [];
  const logs = [
    { name: "network", subject: "flow log stream", collector: collectors.flowlogs },
    { name: "configuration", subject: "audit log stream", collector: collectors.auditlogs },
  ] as const;
  const findings = logs.map(async ({ name, subject, collector }): Promise<readonly OnlineFinding[]> => {
    if (!collector.enabled) return [];
    // If it is not the only way, nothing is lost without it.
    const outcome = collector.source === "stream" ? "failed" : "warning";
    return [await checkStream({ name, subject, outcome }, streaming, api)];
  });
  return (await Promise.all(findings)).flat();
}

interface WantedStream {
  readonly name: LogName;
  readonly subject: string;
  /** What it is if Tailscale does not send here. */
  readonly outcome: "failed" | "warning";
}

async function checkStream(
  wanted: WantedStream,
  streaming: Config["streaming"],
  api: TailscaleApi,
): Promise<OnlineFinding> {
  try {
    return judge(wanted, await api.logStream(wanted.name), streaming);
  } catch (error) {
    return unreadable(wanted.subject, error, "log_streaming:read", streaming.auto_configure ? "failed" : "skipped");
  }
}

function judge(
  { subject, outcome }: WantedStream,
  stream: LogStream | undefined,
  { auto_configure: isAutomatic, public_url: publicUrl, path }: Config["streaming"],
): OnlineFinding {
  const setIt = "Set streaming.auto_configure = true, or run: tailscale2otel tailnet stream set.";
  if (stream === undefined && isAutomatic)
    return { subject, outcome: "ok", detail: "not set yet: run will configure it" };
  if (stream === undefined) return { subject, outcome, detail: "Tailscale does not stream this log", remedy: setIt };
  const where = `${stream.destinationType} at ${displayUrl(stream.url)}`;
  if (publicUrl === "") {
    const unknown = "streaming.public_url is not set, so it is unknown whether that is this instance";
    return { subject, outcome: "ok", detail: `Tailscale sends to ${where}; ${unknown}` };
  }
  const ours = publicAddress(publicUrl, path);
  if (isSentTo(ours, stream)) return { subject, outcome: "ok", detail: `Tailscale sends to ${displayUrl(stream.url)}` };
  const detail = `Tailscale sends to ${where}, not to ${displayUrl(ours)}`;
  return isAutomatic
    ? { subject, outcome: "warning", detail, remedy: "The next start of run replaces it." }
    : { subject, outcome, detail, remedy: `Correct streaming.public_url. ${setIt}` };
}

/** Only if the program creates it. */
export async function checkWebhook({ webhook }: Config, api: TailscaleApi): Promise<readonly OnlineFinding[]> {
  if (!webhook.auto_configure) return [];
  const subject = "webhook";
  try {
    const ours = publicAddress(webhook.public_url, webhook.path);
    const found = (await api.webhooks()).find(({ url }) => isSameAddress(url, ours));
    const detail =
      found === undefined
        ? `none for ${displayUrl(ours)} yet: run will create it`
        : `registered for ${displayUrl(ours)}, with ${found.subscriptions.length} subscriptions`;
    return [{ subject, outcome: "ok", detail }];
  } catch (error) {
    return [unreadable(subject, error, "webhooks:read", "failed")];
  }
}

function unreadable(subject: string, error: unknown, scope: string, outcome: "failed" | "skipped"): OnlineFinding {
  const found = failure(subject, error);
  const isScope = error instanceof TailscaleError && error.reason === "missing_scope";
  if (outcome === "failed") return isScope ? { ...found, detail: `the scope ${scope} is missing` } : found;
  return { subject, outcome, detail: isScope ? `cannot be read without the scope ${scope}` : found.detail };
}
