/** What requests are signed with: an API key as it is, or a token of an OAuth client, got when needed and renewed in time. */
import { type Static, Type } from "@sinclair/typebox";
import type { Clock } from "../lib/clock.ts";
import { checkedAnswer } from "./answers.ts";
import type { Authorization } from "./attempt.ts";
import { readText } from "./body.ts";
import type { Call } from "./calls.ts";
import type { TailscaleError } from "./error.ts";
import { failureOf } from "./refusal.ts";
import type { Requester } from "./request.ts";

export type TailscaleAuth =
  | {
      readonly kind: "oauth";
      readonly clientId: string;
      readonly clientSecret: string;
      /** Those to ask for; empty: all that the client has. */
      readonly scopes: readonly string[];
    }
  | { readonly kind: "apikey"; readonly key: string };

export interface Credentials extends Authorization {
  /** Gets a token whatever is there; nothing for a key. @throws {TailscaleError} */
  renew(): Promise<void>;
}

/** A token is renewed so long before its end, or a tenth of its life, whichever is less. */
const marginMs = 300_000;

const maxTokenAnswerBytes = 64 * 1024;

/** What cannot stand in a header is no token. */
const TokenAnswer = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 8192, pattern: "^[\\x21-\\x7e]+$" }),
  expires_in: Type.Number({ exclusiveMinimum: 0 }),
});

interface Token {
  readonly header: string;
  /** Epoch milliseconds. */
  readonly renewAt: number;
}

export function createCredentials(
  auth: TailscaleAuth,
  deps: { readonly requester: Requester; readonly call: Call; readonly clock: Clock },
): Credentials {
  if (auth.kind === "apikey") {
    const header = Promise.resolve(`Bearer ${auth.key}`);
    return { header: () => header, drop: () => false, renew: () => Promise.resolve() };
  }
  let token: Token | undefined;
  let renewal: Promise<Token> | undefined;

  /** One at a time, for whoever asks meanwhile; nobody's signal ends it, since others may wait for it too. */
  function renew(): Promise<Token> {
    renewal ??= deps.requester
      .perform({
        call: deps.call,
        body: { type: "application/x-www-form-urlencoded", text: formOf(auth as OAuth) },
        read: async (response) => {
          const answer: Static<typeof TokenAnswer> = checkedAnswer(
            TokenAnswer,
            await readText(response, maxTokenAnswerBytes),
          );
          const lifeMs = answer.expires_in * 1000;
          const renewAt = deps.clock() + lifeMs - Math.min(marginMs, lifeMs / 10);
          return { header: `Bearer ${answer.access_token}`, renewAt };
        },
      })
      .then((fresh) => (token = fresh))
      .finally(() => (renewal = undefined));
    return renewal;
  }

  return {
    async header(signal) {
      if (token !== undefined && deps.clock() < token.renewAt) return token.header;
      const { header } = await unlessAborted(renew(), signal, deps.call);
      return header;
    },
    drop(refused) {
      if (token?.header === refused) token = undefined;
      return true;
    },
    async renew() {
      token = undefined;
      await renew();
    },
  };
}

type OAuth = Extract<TailscaleAuth, { kind: "oauth" }>;

function formOf({ clientId, clientSecret, scopes }: OAuth): string {
  const form = new URLSearchParams({
    client_id: clientId,
    client_secret: clientSecret,
    grant_type: "client_credentials",
  });
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  return form.toString();
}

async function unlessAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal | undefined,
  call: Call,
): Promise<Result> {
  if (signal === undefined) return promise;
  const aborted = (): TailscaleError => failureOf(call, "aborted", "given up by the program", "oauth");
  const { promise: end, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(aborted());
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, end]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
