/** What is registered at Tailscale for this instance: where log streaming sends, and the webhook; compared with the settings. */
import { type Config, displayUrl } from "../config/index.ts";
import { TailscaleError } from "../tailscale/error.ts";
import { isSameAddress, publicAddress } from "../tailscale/public-address.ts";
import type { LogName, LogStream, TailscaleApi } from "../tailscale/types.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

/** One finding for each log that is wanted, where the receiver runs. */
export async function checkLogStreams(config: Config, api: TailscaleApi): Promise<readonly OnlineFinding[]> {
  const { collectors, streaming } = config;
  if (!streaming.enabled) return [];
  const logs = [
    { name: "network", subject: "flow log stream", collector: collectors.flowlogs },
    { name: "configuration", subject: "audit log stream", collector: collectors.auditlogs },
  ] as const;
  return Promise.all(
    logs
      .filter(({ collector }) => collector.enabled)
      .map(({ name, subject, collector }) =>
        checkStream({ name, subject, isOnlyWay: collector.source === "stream" }, config, api),
      ),
  );
}

interface WantedStream {
  readonly name: LogName;
  readonly subject: string;
  /** Nothing comes in where Tailscale does not send here. */
  readonly isOnlyWay: boolean;
}

async function checkStream(wanted: WantedStream, { streaming }: Config, api: TailscaleApi): Promise<OnlineFinding> {
  const { subject } = wanted;
  try {
    return judge(wanted, await api.logStream(wanted.name), streaming);
  } catch (error) {
    return unreadable(subject, error, { scope: "log_streaming:read", isNeeded: streaming.auto_configure });
  }
}

function judge(
  { subject, isOnlyWay }: WantedStream,
  stream: LogStream | undefined,
  { auto_configure: isAutomatic, public_url: publicUrl, path }: Config["streaming"],
): OnlineFinding {
  const outcome = isOnlyWay ? "failed" : "warning";
  const setIt = "Set streaming.auto_configure = true, or run: tailscale2otel tailnet stream set.";
  if (stream === undefined) {
    if (isAutomatic) return { subject, outcome: "ok", detail: "there is none yet; run configures it" };
    return { subject, outcome, detail: "Tailscale streams this log nowhere", remedy: setIt };
  }
  const { destinationType, url } = stream;
  const where = `${destinationType} at ${displayUrl(url)}`;
  if (publicUrl === "") {
    const detail = `Tailscale sends to ${where}; streaming.public_url is not set, so nobody knows whether that is here`;
    return { subject, outcome: "ok", detail };
  }
  const ours = publicAddress(publicUrl, path);
  if (destinationType === "splunk" && isSameAddress(url, ours)) {
    return { subject, outcome: "ok", detail: `Tailscale sends to ${displayUrl(url)}` };
  }
  const detail = `Tailscale sends to ${where}, not to ${displayUrl(ours)}`;
  if (isAutomatic) return { subject, outcome: "warning", detail, remedy: "The next start of run replaces it." };
  return { subject, outcome, detail, remedy: `Correct streaming.public_url. ${setIt}` };
}

/** Where it is made by the program. */
export async function checkWebhook({ webhook }: Config, api: TailscaleApi): Promise<readonly OnlineFinding[]> {
  if (!webhook.auto_configure) return [];
  const subject = "webhook";
  try {
    const ours = publicAddress(webhook.public_url, webhook.path);
    const found = (await api.webhooks()).find(({ url }) => isSameAddress(url, ours));
    const detail =
      found === undefined
        ? `there is none for ${displayUrl(ours)} yet; run makes it`
        : `there is one for ${displayUrl(ours)}, with ${found.subscriptions.length} subscriptions`;
    return [{ subject, outcome: "ok", detail }];
  } catch (error) {
    return [unreadable(subject, error, { scope: "webhooks:read", isNeeded: true })];
  }
}

/** What nobody needs to see may stay unseen. */
function unreadable(
  subject: string,
  error: unknown,
  { scope, isNeeded }: { readonly scope: string; readonly isNeeded: boolean },
): OnlineFinding {
  const found = failure(subject, error);
  const isScope = error instanceof TailscaleError && error.reason === "missing_scope";
  if (isNeeded) return isScope ? { ...found, detail: `the scope ${scope} is missing` } : found;
  return {
    subject,
    outcome: "skipped",
    detail: isScope ? `it cannot be looked at without the scope ${scope}` : found.detail,
  };
}
