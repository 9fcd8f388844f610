/**
 * The Tailscale part of `check --online`: credentials, each scope, the tailnet, the clock, and what is registered for this
 * instance.
 */
import { type Config, displayUrl, hasCredentials, isPolled, readsDevices, usesOauth } from "../config/index.ts";
import { isSameAddress, isSentTo, publicAddress } from "../tailnet/log-streams.ts";
import { webhookSecretFile } from "../tailnet/webhook.ts";
import { type LogName, type TailscaleApi, TailscaleError } from "../tailscale/index.ts";
import { failure, type OnlineFinding } from "./online-finding.ts";

/** A user is waiting, so a server that does not respond within this time counts as unreachable. */
export const maxTimeoutMs = 10_000;

/** A client of the API with these scopes instead of the configured ones, if given. */
export type OpenApi = (scopes?: readonly string[]) => TailscaleApi;

/** `now`: epoch milliseconds. */
export async function checkApi(config: Config, open: OpenApi, now: number): Promise<readonly OnlineFinding[]> {
  if (!hasCredentials(config))
    return [{ subject: "Tailscale API", outcome: "skipped", detail: "not used: there are no credentials" }];
  const api = open();
  const subject = usesOauth(config) ? "OAuth client" : "API key";
  try {
    await api.authenticate();
  } catch (error) {
    // A key is tested on the tailnet; if there is no such tailnet, the reads below report it.
    const isRecognised = !usesOauth(config) && reasonOf(error) === "not_found";
    const asked = reasonOf(error) === "missing_scope" ? scopesAskedFor(config) : [];
    if (!isRecognised) return [signInFailure(subject, error, config), ...(await missingScopes(asked, open))];
  }
  const { collectors, streaming, webhook } = config;
  const findings = await Promise.all([
    isPolled(config, "flowlogs") && checkLog("flow logs", "network", api, config, now),
    isPolled(config, "auditlogs") && checkLog("audit logs", "configuration", api, config, now),
    readsDevices(config) && checkRead("devices", "devices:core:read", "devices", config, () => api.devices(1)),
    streaming.enabled && collectors.flowlogs.enabled && checkStream("flow log stream", "network", api, config),
    streaming.enabled && collectors.auditlogs.enabled && checkStream("audit log stream", "configuration", api, config),
    webhook.auto_configure && checkWebhook(api, config),
  ]);
  return [
    { subject, outcome: "ok", detail: `accepted by ${config.tailscale.base_url}` },
    ...findings.filter((finding) => finding !== false),
    ...(await missingScopes(scopesToWrite(config), open)),
    clockFinding(api.clockAheadMs),
  ];
}

function reasonOf(error: unknown): TailscaleError["reason"] | undefined {
  return error instanceof TailscaleError ? error.reason : undefined;
}

const publicApi = "https://api.tailscale.com";

function signInFailure(subject: string, error: unknown, { tailscale }: Config): OnlineFinding {
  const found = failure(subject, error);
  switch (reasonOf(error)) {
    // The address of the API is the most likely cause.
    case "not_found":
    case "malformed":
    case "redirected":
    case "unavailable":
    case "timeout": {
      const { base_url: address } = tailscale;
      const remedy =
        address === publicApi
          ? `Check whether this machine reaches ${publicApi}: DNS, the firewall, or a proxy (HTTPS_PROXY).`
          : `Check tailscale.base_url (${address}; the public API is ${publicApi}), and whether it can be reached from here.`;
      return { ...found, remedy };
    }
    default:
      return found;
  }
}

/**
 * True if the client gets a token with only that scope. Errors other than a rejection count as granted, because they prove
 * nothing.
 */
async function isGranted(scope: string, open: OpenApi): Promise<boolean> {
  try {
    await open([scope]).authenticate();
    return true;
  } catch (error) {
    return reasonOf(error) !== "missing_scope";
  }
}

/** Enough for one second of the largest tailnet. */
const maxAnswerBytes = 64 * 1024 * 1024;

function checkLog(
  subject: string,
  log: LogName,
  api: TailscaleApi,
  config: Config,
  now: number,
): Promise<OnlineFinding> {
  const collector = log === "network" ? "flowlogs" : "auditlogs";
  const end = Math.floor((now - config.collectors[collector].lag) / 1000);
  return checkRead(subject, `logs:${log}:read`, collector, config, () =>
    api.readLogs(log, { start: end - 1, end }, { maxBytes: maxAnswerBytes, onRecords: () => {} }),
  );
}

async function checkRead(
  subject: string,
  scope: string,
  collector: keyof Config["collectors"],
  { tailscale }: Config,
  read: () => Promise<unknown>,
): Promise<OnlineFinding> {
  try {
    await read();
    return { subject, outcome: "ok", detail: "readable" };
  } catch (error) {
    const found = failure(subject, error);
    if (reasonOf(error) === "missing_scope") {
      const remedy = `${found.remedy ?? ""} Or set collectors.${collector}.enabled = false.`;
      return { ...found, detail: `the scope ${scope} is missing`, remedy };
    }
    if (reasonOf(error) !== "not_found") return found;
    const remedy =
      'Set tailscale.tailnet to the name that the admin console shows under Settings, General, or to "-" for the tailnet of the credentials.';
    const detail = `there is no tailnet ${JSON.stringify(tailscale.tailnet)} for these credentials`;
    return { ...found, detail, remedy };
  }
}

async function checkStream(subject: string, log: LogName, api: TailscaleApi, config: Config): Promise<OnlineFinding> {
  const { auto_configure: isAutomatic, public_url: publicUrl, path } = config.streaming;
  const { source } = config.collectors[log === "network" ? "flowlogs" : "auditlogs"];
  // If streaming is not the only source, nothing is lost without it.
  const outcome = source === "stream" ? "failed" : "warning";
  const setIt = "Set streaming.auto_configure = true, or run: tailscale2otel tailnet stream set.";
  try {
    const stream = await api.logStream(log, isAutomatic ? "set" : "show");
    if (stream === undefined)
      return isAutomatic
        ? { subject, outcome: "ok", detail: "not set yet: run will configure it" }
        : { subject, outcome, detail: "Tailscale does not stream this log", remedy: setIt };
    const where = `Tailscale sends to ${stream.destinationType} at ${displayUrl(stream.url)}`;
    if (publicUrl === "") {
      const unknown = "streaming.public_url is not set, so it is unknown whether that is this instance";
      return { subject, outcome: "ok", detail: `${where}; ${unknown}` };
    }
    const ours = publicAddress(publicUrl, path);
    if (isSentTo(ours, stream))
      return { subject, outcome: "ok", detail: `Tailscale sends to ${displayUrl(stream.url)}` };
    const detail = `${where}, not to ${displayUrl(ours)}`;
    return isAutomatic
      ? { subject, outcome: "warning", detail, remedy: "The next start of the service replaces it." }
      : { subject, outcome, detail, remedy: `Correct streaming.public_url. ${setIt}` };
  } catch (error) {
    const needed = isAutomatic
      ? ({ outcome: "failed", scope: "log_streaming" } as const)
      : ({ outcome: "skipped", scope: "log_streaming:read" } as const);
    return unreadable({ subject, ...needed }, error);
  }
}

async function checkWebhook(api: TailscaleApi, { webhook, state }: Config): Promise<OnlineFinding> {
  const subject = "webhook";
  try {
    const ours = publicAddress(webhook.public_url, webhook.path);
    const found = (await api.webhooks("set")).find(({ url }) => isSameAddress(url, ours));
    if (found !== undefined && webhook.secret === "" && webhookSecretFile(state.path).read()?.id !== found.id) {
      const unknown = `webhook ${found.id} for ${displayUrl(ours)} exists, but its secret is not known here: the next start rotates it`;
      const remedy =
        "If another receiver uses that secret, set webhook.secret to it before the start. If not, there is nothing to do.";
      return { subject, outcome: "warning", detail: unknown, remedy };
    }
    const detail =
      found === undefined
        ? `none for ${displayUrl(ours)} yet: run will create it`
        : `registered for ${displayUrl(ours)}, with ${found.subscriptions.length} subscriptions`;
    return { subject, outcome: "ok", detail };
  } catch (error) {
    return unreadable({ subject, outcome: "failed", scope: "webhooks" }, error);
  }
}

function unreadable(
  { subject, outcome, scope }: { subject: string; outcome: "failed" | "skipped"; scope: string },
  error: unknown,
): OnlineFinding {
  const found = failure(subject, error);
  const isScope = reasonOf(error) === "missing_scope";
  if (outcome === "failed") return isScope ? { ...found, detail: `the scope ${scope} is missing` } : found;
  return { subject, outcome, detail: isScope ? `cannot be read without the scope ${scope}` : found.detail };
}

interface NeededScope {
  readonly scope: string;
  /** The finding if the client does not have it. */
  readonly missing: OnlineFinding;
  /** True if the settings do not request it, so that a token does not have it either. */
  readonly isLeftOut?: boolean;
}

async function missingScopes(needed: readonly NeededScope[], open: OpenApi): Promise<readonly OnlineFinding[]> {
  const granted = await Promise.all(
    needed.map(async ({ scope, isLeftOut }) => isLeftOut !== true && (await isGranted(scope, open))),
  );
  return needed.flatMap(({ missing }, index) => (granted[index] === true ? [] : [missing]));
}

/** When several are rejected together, the response does not say which. */
function scopesAskedFor({ tailscale: { auth } }: Config): readonly NeededScope[] {
  return auth.oauth.scopes.map((scope) => {
    const detail = `tailscale.auth.oauth.scopes asks for ${scope}, which the client may not have`;
    const remedy = `Give the OAuth client the scope ${scope}, or remove it from tailscale.auth.oauth.scopes.`;
    return { scope, missing: { subject: scope, outcome: "failed", detail, remedy } };
  });
}

/** Write scopes, which cannot be tested by reading. */
function scopesToWrite(config: Config): readonly NeededScope[] {
  if (!usesOauth(config)) return [];
  const { streaming, webhook, tailscale } = config;
  const { scopes } = tailscale.auth.oauth;
  // Plain HTTP is only for private endpoints, which need more scopes; for https, that is unknown here.
  const more = /^http:/i.test(streaming.public_url) ? ["device_invites", "policy_file"] : [];
  const needed = {
    "streaming.auto_configure": streaming.auto_configure ? ["log_streaming", ...more] : [],
    "webhook.auto_configure": webhook.auto_configure ? ["webhooks"] : [],
  };
  return Object.entries(needed).flatMap(([key, names]) =>
    names.map((scope) => {
      const remedy = `Give the OAuth client the scope ${scope}, and add it to tailscale.auth.oauth.scopes if that is set. Or set ${key} = false.`;
      const missing = { subject: key, outcome: "failed", detail: `the scope ${scope} is missing`, remedy } as const;
      const isLeftOut = scopes.length > 0 && !scopes.includes(scope) && !scopes.includes("all");
      return { scope, missing, isLeftOut };
    }),
  );
}

/** With a larger clock difference, webhook signatures look expired and polled windows are wrong. */
const maxSkewMs = 30_000;

function clockFinding(aheadMs: number | undefined): OnlineFinding {
  const subject = "clock";
  if (aheadMs === undefined) return { subject, outcome: "skipped", detail: "the API does not report its time" };
  const offBy = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= maxSkewMs)
    return { subject, outcome: "ok", detail: `agrees with the API's to within ${Math.max(1, offBy)} s` };
  return {
    subject,
    outcome: "warning",
    detail: `this machine's clock is ${offBy} s ${aheadMs > 0 ? "behind" : "ahead of"} the API's`,
    remedy: "Synchronize it with NTP: webhooks are refused if it is off by more than webhook.tolerance.",
  };
}
