/** Client of a running instance's admin listener. */
import type { Kept } from "../admin/kept.ts";
import type { ItemQuery } from "../admin/kept-types.ts";

export interface AdminClient {
  /** Whether anything answers. @throws {Error} if it is another program, or refuses our token. */
  isThere(): Promise<boolean>;
  get<Answer>(path: string): Promise<Answer>;
  post<Answer>(path: string, body: object): Promise<Answer>;
}

const timeoutMs = 60_000;

export function askAdmin(address: string, token: string): AdminClient {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };

  async function ask<Answer>(path: string, request: RequestInit): Promise<Answer> {
    const response = await fetch(address + path, {
      ...request,
      headers: { ...authorization, "content-type": "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw new NoAnswer(`no answer: ${error instanceof Error ? error.message : String(error)}`);
    });
    const answer = parsed(await response.text());
    if (response.ok) {
      if (answer === undefined) throw new Error(`${address} answers, but is not an admin listener of this program`);
      return answer as Answer;
    }
    if (response.status === 401)
      throw new Error(
        token === ""
          ? "the instance requires its admin token: set admin.token"
          : "the instance refused this admin token: set admin.token to the instance's own",
      );
    if (response.status === 404)
      throw new Error(`${address} is not the admin listener of an instance (404); see admin.listen`);
    const text = typeof answer === "object" && answer !== null && "text" in answer ? String(answer.text) : "";
    throw new Error(text === "" ? `${address}${path} answers ${response.status}` : text);
  }

  return {
    async isThere() {
      try {
        await ask("/api/status", { method: "GET" });
        return true;
      } catch (error) {
        if (error instanceof NoAnswer) return false;
        throw error;
      }
    },
    get: (path) => ask(path, { method: "GET" }),
    post: (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) }),
  };
}

export function remoteKept({ get, post }: AdminClient): Kept {
  return {
    list: (query) => get(`/api/quarantine?${parametersOf(query)}`),
    show: (id) => get(`/api/quarantine/item?id=${encodeURIComponent(id)}`),
    retry: (selection) => post("/api/quarantine/retry", selection),
    purge: (selection, deadLetters) => post("/api/quarantine/purge", { ...selection, deadLetters }),
    replay: (range) => post("/api/replay", range),
    cancel: (name) => post("/api/replay/cancel", { name }),
    redeliveries: () => get("/api/replay"),
  };
}

/** Nothing listens there, or the connection ended before an answer. */
class NoAnswer extends Error {}

function parametersOf(query: ItemQuery): string {
  return new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
