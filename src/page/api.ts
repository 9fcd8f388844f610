/** Requests to the instance that serves this page. */
import { noteSession, noteSignedOut, type SessionAnswer } from "./session.ts";

/** An answer that is no success, in the instance's own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** Longer than any answer takes, that of `wait=30s` included; after sleep, a request may otherwise hang for ever. */
const timeoutMs = 45_000;

/** A list is sent as one parameter each. */
export type Parameters = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** @throws {ApiError} */
export async function get<Answer>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<Answer> {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    [value].flat().flatMap((one): [string, string][] => (one === undefined ? [] : [[name, String(one)]])),
  );
  const query = new URLSearchParams(given).toString();
  return ask(query === "" ? path : `${path}?${query}`, { ...(signal && { signal }) });
}

/** @throws {ApiError} */
export async function post<Answer>(path: string, body: object): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Asks whether a token is required. An instance that does not know the question requires none. */
export async function readSession(): Promise<void> {
  try {
    noteSession(await get<SessionAnswer>("/api/v1/session"));
  } catch {
    // Whatever else is asked shows the same trouble.
  }
}

/** @throws {ApiError} if it is not the token. */
export async function signIn(token: string): Promise<void> {
  await post("/api/v1/session", { token });
  noteSession({ required: true, signedIn: true });
}

/** @throws {ApiError} */
export async function signOut(): Promise<void> {
  await ask("/api/v1/session", { method: "DELETE" });
  noteSignedOut();
}

/** What is wrong, for a person. */
export function troubleOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return "The instance does not answer";
}

async function ask<Answer>(url: string, init: RequestInit): Promise<Answer> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  const response = await fetch(url, { ...init, signal });
  if (response.status === 204) return undefined as Answer;
  const answer = (await response.json().catch(() => undefined)) as { readonly text?: string } | undefined;
  if (response.status === 401) noteSignedOut();
  if (!response.ok || answer === undefined)
    throw new ApiError(response.status, answer?.text ?? `The instance answered ${response.status}`);
  return answer as Answer;
}
