/** Authenticates requests with an API key, or with an OAuth client's access token, renewed before it expires. */
import { Type } from "@sinclair/typebox";
import type { Config } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { checkedAnswer } from "./answers.ts";
import { abortedError, type Client, type Credentials, readText } from "./client.ts";
import type { Call } from "./errors.ts";

/** A token is renewed this long before it expires, or after nine tenths of its life if that is later. */
const marginMs = 300_000;

const maxTokenAnswerBytes = 64 * 1024;

const tokenCall: Call = { endpoint: "oauth_token", method: "POST", path: "/api/v2/oauth/token" };

/** A token must be valid in a header. */
const TokenAnswer = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 8192, pattern: "^[\\x21-\\x7e]+$" }),
  expires_in: Type.Number({ exclusiveMinimum: 0 }),
});

/** An OAuth client takes precedence over an API key. */
export function createCredentials(
  { apikey, oauth }: Config["tailscale"]["auth"],
  deps: { readonly client: Client; readonly clock: Clock },
): Credentials {
  const { client_id, client_secret, scopes } = oauth;
  if (client_id === "" || client_secret === "") {
    const header = Promise.resolve(`Bearer ${apikey}`);
    return { kind: "apikey", header: () => header, drop: () => false };
  }
  const form = new URLSearchParams({
    client_id,
    client_secret,
    grant_type: "client_credentials",
    ...(scopes.length > 0 && { scope: scopes.join(" ") }),
  }).toString();
  let token: { readonly header: string; readonly renewAt: number } | undefined;
  let renewal: Promise<string> | undefined;

  /** Waiting callers share one request, so its own deadline ends it, not a caller's signal. */
  function renew(): Promise<string> {
    renewal ??= deps.client
      .send({
        ...tokenCall,
        body: { type: "application/x-www-form-urlencoded", text: form },
        async read(response) {
          const answer = checkedAnswer(TokenAnswer, await readText(response, maxTokenAnswerBytes));
          const lifeMs = answer.expires_in * 1000;
          const renewAt = deps.clock() + lifeMs - Math.min(marginMs, lifeMs / 10);
          token = { header: `Bearer ${answer.access_token}`, renewAt };
          return token.header;
        },
      })
      .finally(() => (renewal = undefined));
    return renewal;
  }

  return {
    kind: "oauth",
    async header(signal) {
      if (token !== undefined && deps.clock() < token.renewAt) return token.header;
      const renewed = renew();
      if (signal === undefined) return renewed;
      const given = Promise.withResolvers<never>();
      const giveUp = (): void => given.reject(abortedError(tokenCall));
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
      return Promise.race([renewed, given.promise]).finally(() => signal.removeEventListener("abort", giveUp));
    },
    drop(rejected) {
      if (token?.header === rejected) token = undefined;
      return true;
    },
  };
}
