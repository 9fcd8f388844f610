/** Client of a running instance's admin listener. */
import type { Operations } from "../admin/operations.ts";
import type { RunningStatus } from "../admin/status.ts";
import { connectionError } from "../lib/connection-error.ts";
import { isObject } from "../records/members.ts";

export interface RemoteInstance {
  readonly operations: Operations;
  status(): Promise<RunningStatus>;
}

/** Nothing listens there, or the connection ended before an answer; the message says why. */
export class NoAnswer extends Error {}

/** For the first answer, and for those that take longer because something is done. */
const timeoutMs = { first: 10_000, later: 60_000 };

/**
 * The instance that answers at that address, or why none does.
 * @throws {Error} if another program answers, or if it refuses the token.
 */
export async function findInstance(address: string, token: string): Promise<RemoteInstance | NoAnswer> {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };
  let timeout = timeoutMs.first;

  async function ask<Answer>(path: string, body?: object): Promise<Answer> {
    const response = await fetch(address + path, {
      method: body === undefined ? "GET" : "POST",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { ...authorization, "content-type": "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
    }).catch((error: unknown) => {
      throw new NoAnswer(whyNoAnswer(error, address));
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
    if (error instanceof NoAnswer) return error;
    throw error;
  }
  timeout = timeoutMs.later;
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

/** Why a request had no answer. */
export function whyNoAnswer(error: unknown, url: string): string {
  const { host } = new URL(url);
  const isTimeout = error instanceof Error && error.name === "TimeoutError";
  return isTimeout ? `timed out waiting for ${host}` : connectionError(error, host);
}

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
