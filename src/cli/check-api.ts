/** Whether Tailscale's API lets the program do what the settings ask for: the credentials, each scope, the tailnet, the clock. */
import { type Config, hasCredentials, isPolled, readsDevices, usesOauth } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { TailscaleError } from "../tailscale/error.ts";
import type { LogName, TailscaleApi } from "../tailscale/types.ts";
import { checkLogStreams, checkWebhook } from "./check-registered.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

export interface ApiCheckDeps {
  /** With these scopes instead of those of the settings, where they are given. */
  readonly openApi: (scopes?: readonly string[]) => TailscaleApi | undefined;
  readonly clock: Clock;
}

/** A clock that is further off makes signatures of webhooks late, and windows of the poll wrong. */
const maxSkewMs = 30_000;

export async function checkApi(config: Config, deps: ApiCheckDeps): Promise<readonly OnlineFinding[]> {
  const api = deps.openApi();
  if (api === undefined || !hasCredentials(config)) {
    return [{ subject: "Tailscale API", outcome: "skipped", detail: "there are no credentials, so it is not asked" }];
  }
  const subject = usesOauth(config) ? "OAuth client" : "API key";
  try {
    await api.authenticate();
  } catch (error) {
    // A key is tried on the tailnet; that there is no such tailnet is for the reads to say.
    const isRecognised = !usesOauth(config) && error instanceof TailscaleError && error.reason === "not_found";
    if (!isRecognised) return [signInFailure(subject, error, config), ...(await refusedScopes(config, deps, error))];
  }
  const signedIn: OnlineFinding = { subject, outcome: "ok", detail: `${config.tailscale.base_url} takes it` };
  const findings = await Promise.all([
    ...readsOf(config).map((read) => checkRead(read, api, config, deps)),
    checkLogStreams(config, api),
    checkWebhook(config, api),
    checkWriting(config, deps),
  ]);
  return [signedIn, ...findings.flat(), clockFinding(api.clockAheadMs)];
}

/** Wherever else the sign-in fails, the address is the first suspect. */
function signInFailure(subject: string, error: unknown, { tailscale }: Config): OnlineFinding {
  const found = failure(subject, error);
  if (!(error instanceof TailscaleError)) return found;
  switch (error.reason) {
    case "not_found":
    case "malformed":
    case "redirected":
    case "unavailable":
    case "timeout":
      return {
        ...found,
        remedy: `Check tailscale.base_url (${tailscale.base_url}; the public API is https://api.tailscale.com), and whether it can be reached from here.`,
      };
    default:
      return found;
  }
}

/** Where all scopes together are refused, which of them it is. */
async function refusedScopes(config: Config, deps: ApiCheckDeps, error: unknown): Promise<readonly OnlineFinding[]> {
  const { scopes } = config.tailscale.auth.oauth;
  if (!(error instanceof TailscaleError) || error.reason !== "missing_scope") return [];
  const refused = await Promise.all(scopes.map(async (scope) => ((await isGranted(scope, deps)) ? [] : [scope])));
  return refused.flat().map((scope) => ({
    subject: scope,
    outcome: "failed",
    detail: `tailscale.auth.oauth.scopes asks for ${scope}, which the client may not have`,
    remedy: `Give the OAuth client the scope ${scope}, or take it out of tailscale.auth.oauth.scopes.`,
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

function readsOf(config: Config): readonly Read[] {
  const log = (collector: "flowlogs" | "auditlogs", subject: string, name: LogName): Read => ({
    subject,
    scope: `logs:${name}:read`,
    without: `collectors.${collector}.enabled = false`,
    ask: (api, now) => readOneSecond(api, name, now - config.collectors[collector].lag),
  });
  return [
    ...(isPolled(config, "flowlogs") ? [log("flowlogs", "flow logs", "network")] : []),
    ...(isPolled(config, "auditlogs") ? [log("auditlogs", "audit logs", "configuration")] : []),
    ...(readsDevices(config)
      ? [
          {
            subject: "devices",
            scope: "devices:core:read",
            without: "collectors.devices.enabled = false",
            ask: (api: TailscaleApi) => api.devices(),
          },
        ]
      : []),
  ];
}

/** Enough for a second of the largest tailnet. */
const maxAnswerBytes = 64 * 1024 * 1024;

async function readOneSecond(api: TailscaleApi, log: LogName, endMs: number): Promise<void> {
  const end = Math.floor(endMs / 1000);
  await api.readLogs(log, { start: end - 1, end }, { maxBytes: maxAnswerBytes, onRecords: () => {} });
}

async function checkRead(read: Read, api: TailscaleApi, config: Config, deps: ApiCheckDeps): Promise<OnlineFinding> {
  const { subject, scope, without } = read;
  try {
    await read.ask(api, deps.clock());
    return { subject, outcome: "ok", detail: "they can be read" };
  } catch (error) {
    const found = failure(subject, error);
    if (!(error instanceof TailscaleError)) return found;
    switch (error.reason) {
      case "missing_scope":
        return { ...found, detail: `the scope ${scope} is missing`, remedy: `${error.remedy} Or set ${without}.` };
      case "not_found":
        return {
          ...found,
          detail: `there is no tailnet ${JSON.stringify(config.tailscale.tailnet)} for these credentials`,
          remedy:
            'Set tailscale.tailnet to the name that the admin console shows under Settings, General, or to "-" for the tailnet of the credentials.',
        };
      default:
        return found;
    }
  }
}

/** What only writing needs cannot be tried by reading: the client is asked for a token that may do it. */
async function checkWriting(config: Config, deps: ApiCheckDeps): Promise<readonly OnlineFinding[]> {
  if (!usesOauth(config)) return [];
  const { streaming, webhook, tailscale } = config;
  // Plain HTTP is for private endpoints alone, which need more scopes; of https nobody here can tell.
  const isPrivate = streaming.auto_configure && /^http:/i.test(streaming.public_url);
  const needed = [
    ...(streaming.auto_configure ? [["streaming", "log_streaming"] as const] : []),
    ...(isPrivate ? [["streaming", "device_invites"] as const, ["streaming", "policy_file"] as const] : []),
    ...(webhook.auto_configure ? [["webhook", "webhooks"] as const] : []),
  ];
  const { scopes } = tailscale.auth.oauth;
  const isAskedFor = (scope: string): boolean =>
    scopes.length === 0 || scopes.includes(scope) || scopes.includes("all");
  const findings = needed.map(async ([receiver, scope]): Promise<readonly OnlineFinding[]> => {
    if (isAskedFor(scope) && (await isGranted(scope, deps))) return [];
    return [
      {
        subject: `${receiver}.auto_configure`,
        outcome: "failed",
        detail: `the scope ${scope} is missing`,
        remedy: `Give the OAuth client the scope ${scope}, and name it in tailscale.auth.oauth.scopes if that is set. Or set ${receiver}.auto_configure = false.`,
      },
    ];
  });
  return (await Promise.all(findings)).flat();
}

/** Whether the client gets a token with that scope alone. Another error than a refusal says nothing about it. */
async function isGranted(scope: string, { openApi }: ApiCheckDeps): Promise<boolean> {
  try {
    await openApi([scope])?.authenticate();
    return true;
  } catch (error) {
    return !(error instanceof TailscaleError && error.reason === "missing_scope");
  }
}

function clockFinding(aheadMs: number | undefined): OnlineFinding {
  const subject = "clock";
  if (aheadMs === undefined) return { subject, outcome: "skipped", detail: "the API does not say its time" };
  const offBy = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= maxSkewMs) return { subject, outcome: "ok", detail: `within ${offBy} s of the API's` };
  return {
    subject,
    outcome: "warning",
    detail: `this machine's clock is ${offBy} s ${aheadMs > 0 ? "behind" : "ahead of"} the API's`,
    remedy: "Let it be set by NTP: webhooks are refused where it is off by more than webhook.tolerance.",
  };
}
