/** Client of a running instance's admin listener, and of HTTP in general as far as a person reads the errors. */
import type { Operations } from "../admin/operations.ts";
import type { RunningStatus } from "../admin/status.ts";
import { isObject } from "../records/members.ts";

export interface RemoteInstance {
  readonly operations: Operations;
  status(): Promise<RunningStatus>;
}

const timeoutMs = 60_000;

/**
 * The instance that answers at that address; `undefined` if nothing does.
 * @throws {Error} if another program answers, or if it refuses the token.
 */
export async function findInstance(address: string, token: string): Promise<RemoteInstance | undefined> {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };

  async function ask<Answer>(path: string, body?: object): Promise<Answer> {
    const response = await fetch(address + path, {
      method: body === undefined ? "GET" : "POST",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { ...authorization, "content-type": "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw new NoAnswer(`no answer from ${address}: ${reasonOf(error)}`);
    });
    const answer = parsed(await response.text());
    const text = isObject(answer) && typeof answer["text"] === "string" ? answer["text"] : undefined;
    if (response.status === 401 && text !== undefined)
      throw new Error(
        token === ""
          ? "the instance requires its admin token: set admin.token"
          : "the instance refused this admin token: set admin.token to the instance's own",
      );
    if (response.ok && answer !== undefined) return answer as Answer;
    throw response.status !== 404 && text !== undefined ? new Error(text) : new Error(foreign(address));
  }

  async function status(): Promise<RunningStatus> {
    const answer = await ask<RunningStatus>("/api/status");
    if (!isObject(answer) || !Array.isArray(answer.notReady) || !isObject(answer.conservation))
      throw new Error(foreign(address));
    return answer;
  }

  try {
    await status();
  } catch (error) {
    if (error instanceof NoAnswer) return undefined;
    throw error;
  }
  return {
    status,
    operations: {
      list: (query) => {
        const parameters = Object.entries(query).map(([name, value]) => [name, String(value)]);
        return ask(`/api/quarantine?${new URLSearchParams(parameters).toString()}`);
      },
      show: (id) => ask(`/api/quarantine/item?id=${encodeURIComponent(id)}`),
      retry: (selection) => ask("/api/quarantine/retry", selection),
      purge: (selection, deadLetters) => ask("/api/quarantine/purge", { ...selection, deadLetters }),
      replay: (range) => ask("/api/replay", range),
      cancel: (name) => ask("/api/replay/cancel", { name }),
      redeliveries: () => ask("/api/replay"),
    },
  };
}

/** Why a request had no answer, in words: the runtime's own texts are for programmers. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  const known = reasons.find(([pattern]) => pattern.test(`${error.name} ${code}`));
  return known?.[1] ?? (code === "" ? error.message.replace(/[.,]? *For more information.*/s, "") : code);
}

const reasons: readonly (readonly [RegExp, string])[] = [
  [/TimeoutError/, "timeout"],
  [/ConnectionRefused|ECONNREFUSED/, "connection refused"],
  [/FailedToOpenSocket|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, "the address is unreachable"],
  [/ENOTFOUND|DNS|EAI_AGAIN/i, "the host name is unknown"],
  [/ConnectionClosed|ECONNRESET|EPIPE|SOCKET/, "the connection was closed (TLS on a plain port, or the reverse?)"],
  [/SELF_SIGNED|UNABLE_TO|CERT|ALTNAME/, "the certificate is not trusted, or is for another name"],
  [/EPROTO|SSL|TLS|Malformed/, "the other side does not speak TLS there, or does not speak HTTP"],
];

/** Nothing listens there, or the connection ended before an answer. */
class NoAnswer extends Error {}

function foreign(address: string): string {
  return `${address} is answered by another program: give the admin listener of the instance with --url, or set admin.listen`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
