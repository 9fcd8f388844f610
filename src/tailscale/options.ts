/** From the settings to the client's options. */
import { type Config, hasCredentials, usesOauth } from "../config/index.ts";
import type { TailscaleAuth, TailscaleOptions } from "./index.ts";

/** Nothing where there are no credentials: the API is not used then. An OAuth client wins over an API key. */
export function tailscaleOptionsOf(config: Pick<Config, "tailscale">): TailscaleOptions | undefined {
  if (!hasCredentials(config)) return undefined;
  const { base_url: baseUrl, tailnet, http } = config.tailscale;
  return {
    baseUrl: baseUrl.replace(/\/+$/, ""),
    tailnet,
    auth: authOf(config),
    http: { timeoutMs: http.timeout, maxAttempts: http.max_attempts, rateLimit: http.rate_limit },
  };
}

function authOf(config: Pick<Config, "tailscale">): TailscaleAuth {
  const { apikey, oauth } = config.tailscale.auth;
  if (!usesOauth(config)) return { kind: "apikey", key: apikey };
  return { kind: "oauth", clientId: oauth.client_id, clientSecret: oauth.client_secret, scopes: oauth.scopes };
}
