/** `check --online`, Tailscale's API: the credentials, each scope, the tailnet, the clock, and what is registered there. */
import { type Config, hasCredentials, isPolled, readsDevices, usesOauth } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { type LogName, type TailscaleApi, TailscaleError } from "../tailscale/index.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";
import { checkLogStreams, checkWebhook } from "./check-registered.ts";

export interface ApiCheckDeps {
  /** With these scopes instead of the configured ones, if given. */
  readonly openApi: (scopes?: readonly string[]) => TailscaleApi | undefined;
  readonly clock: Clock;
}

export async function checkApi(config: Config, deps: ApiCheckDeps): Promise<readonly OnlineFinding[]> {
  const api = deps.openApi();
  if (api === undefined || !hasCredentials(config))
    return [{ subject: "Tailscale API", outcome: "skipped", detail: "not used: there are no credentials" }];
  const subject = usesOauth(config) ? "OAuth client" : "API key";
  try {
    await api.authenticate();
  } catch (error) {
    // A key is tried on the tailnet; that there is no such tailnet is for the reads to say.
    const isRecognised = !usesOauth(config) && error instanceof TailscaleError && error.reason === "not_found";
    if (!isRecognised) return [signInFailure(subject, error, config), ...(await refusedScopes(config, deps, error))];
  }
  const findings = await Promise.all([
    ...readsOf(config).map((read) => checkRead(read, api, config, deps)),
    checkLogStreams(config, api),
    checkWebhook(config, api),
    checkWriting(config, deps),
  ]);
  const signedIn: OnlineFinding = { subject, outcome: "ok", detail: `accepted by ${config.tailscale.base_url}` };
  return [signedIn, ...findings.flat(), clockFinding(api.clockAheadMs)];
}

/** Reasons for which the address of the API is the first suspect. */
const addressReasons: ReadonlySet<string> = new Set(["not_found", "malformed", "redirected", "unavailable", "timeout"]);

function signInFailure(subject: string, error: unknown, { tailscale }: Config): OnlineFinding {
  const found = failure(subject, error);
  if (!(error instanceof TailscaleError) || !addressReasons.has(error.reason)) return found;
  const remedy = `Check tailscale.base_url (${tailscale.base_url}; the public API is https://api.tailscale.com), and whether it can be reached from here.`;
  return { ...found, remedy };
}

/** If all configured scopes together are refused: which of them it is. */
async function refusedScopes(config: Config, deps: ApiCheckDeps, error: unknown): Promise<readonly OnlineFinding[]> {
  if (!(error instanceof TailscaleError) || error.reason !== "missing_scope") return [];
  const { scopes } = config.tailscale.auth.oauth;
  const granted = await Promise.all(scopes.map((scope) => isGranted(scope, deps)));
  return scopes
    .filter((_, index) => granted[index] === false)
    .map((scope) => ({
      subject: scope,
      outcome: "failed",
      detail: `tailscale.auth.oauth.scopes asks for ${scope}, which the client may not have`,
      remedy: `Give the OAuth client the scope ${scope}, or remove it from tailscale.auth.oauth.scopes.`,
    }));
}

/** Something that is read to see whether it may be. */
interface Read {
  readonly subject: string;
  readonly scope: string;
  /** How to do without it. */
  readonly without: string;
  readonly ask: (api: TailscaleApi, now: number) => Promise<unknown>;
}

/** Enough for a second of the largest tailnet. */
const maxAnswerBytes = 64 * 1024 * 1024;

function readsOf(config: Config): readonly Read[] {
  const log = (collector: "flowlogs" | "auditlogs", subject: string, name: LogName): readonly Read[] => {
    if (!isPolled(config, collector)) return [];
    const readOneSecond = (api: TailscaleApi, now: number) => {
      const end = Math.floor((now - config.collectors[collector].lag) / 1000);
      return api.readLogs(name, { start: end - 1, end }, { maxBytes: maxAnswerBytes, onRecords: () => {} });
    };
    const without = `collectors.${collector}.enabled = false`;
    return [{ subject, scope: `logs:${name}:read`, without, ask: readOneSecond }];
  };
  const devices: Read = {
    subject: "devices",
    scope: "devices:core:read",
    without: "collectors.devices.enabled = false",
    ask: (api) => api.devices(),
  };
  return [
    ...log("flowlogs", "flow logs", "network"),
    ...log("auditlogs", "audit logs", "configuration"),
    ...(readsDevices(config) ? [devices] : []),
  ];
}

async function checkRead(read: Read, api: TailscaleApi, config: Config, deps: ApiCheckDeps): Promise<OnlineFinding> {
  const { subject, scope, without } = read;
  try {
    await read.ask(api, deps.clock());
    return { subject, outcome: "ok", detail: "readable" };
  } catch (error) {
    const found = failure(subject, error);
    if (!(error instanceof TailscaleError)) return found;
    if (error.reason === "missing_scope")
      return { ...found, detail: `the scope ${scope} is missing`, remedy: `${error.remedy} Or set ${without}.` };
    if (error.reason !== "not_found") return found;
    return {
      ...found,
      detail: `there is no tailnet ${JSON.stringify(config.tailscale.tailnet)} for these credentials`,
      remedy:
        'Set tailscale.tailnet to the name that the admin console shows under Settings, General, or to "-" for the tailnet of the credentials.',
    };
  }
}

/** Scopes for writing cannot be tried by reading: the client is asked for a token that has them. */
async function checkWriting(config: Config, deps: ApiCheckDeps): Promise<readonly OnlineFinding[]> {
  if (!usesOauth(config)) return [];
  const { streaming, webhook, tailscale } = config;
  // Plain HTTP is for private endpoints alone, which need more scopes; of https that cannot be known here.
  const isPrivate = /^http:/i.test(streaming.public_url);
  const needed = [
    ...(streaming.auto_configure ? ["log_streaming", ...(isPrivate ? ["device_invites", "policy_file"] : [])] : []),
    ...(webhook.auto_configure ? ["webhooks"] : []),
  ];
  const { scopes } = tailscale.auth.oauth;
  const findings = needed.map(async (scope): Promise<readonly OnlineFinding[]> => {
    const isAskedFor = scopes.length === 0 || scopes.includes(scope) || scopes.includes("all");
    if (isAskedFor && (await isGranted(scope, deps))) return [];
    const key = `${scope === "webhooks" ? "webhook" : "streaming"}.auto_configure`;
    const remedy = `Give the OAuth client the scope ${scope}, and add it to tailscale.auth.oauth.scopes if that is set. Or set ${key} = false.`;
    return [{ subject: key, outcome: "failed", detail: `the scope ${scope} is missing`, remedy }];
  });
  return (await Promise.all(findings)).flat();
}

/** Whether the client gets a token with that scope alone. Errors other than a refusal count as granted, since they prove nothing. */
async function isGranted(scope: string, { openApi }: ApiCheckDeps): Promise<boolean> {
  try {
    await openApi([scope])?.authenticate();
    return true;
  } catch (error) {
    return !(error instanceof TailscaleError && error.reason === "missing_scope");
  }
}

/** With a clock that is further off, webhook signatures look late, and polled windows are wrong. */
const maxSkewMs = 30_000;

function clockFinding(aheadMs: number | undefined): OnlineFinding {
  const subject = "clock";
  if (aheadMs === undefined) return { subject, outcome: "skipped", detail: "the API does not tell its time" };
  const offBy = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= maxSkewMs) return { subject, outcome: "ok", detail: `within ${offBy} s of the API's` };
  return {
    subject,
    outcome: "warning",
    detail: `this machine's clock is ${offBy} s ${aheadMs > 0 ? "behind" : "ahead of"} the API's`,
    remedy: "Set it by NTP: webhooks are refused if it is off by more than webhook.tolerance.",
  };
}
