/** Requests to the instance that serves this page, and whether this browser has signed in, if the instance requires it. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { ofTailnet } from "./tailnet.ts";

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
export async function get<Answer>(path: string, parameters: Parameters = {}, stop?: AbortSignal): Promise<Answer> {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    [value].flat().flatMap((one): [string, string][] => (one === undefined ? [] : [[name, String(one)]])),
  );
  const query = new URLSearchParams(given).toString();
  return ask(ofTailnet(query === "" ? path : `${path}?${query}`), { ...(stop && { signal: stop }) });
}

/** @throws {ApiError} */
export async function post<Answer>(path: string, body: object): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return ask(ofTailnet(path), { method: "POST", headers, body: JSON.stringify(body) });
}

/** The names of all tailnets, even if the address of the page names none of them. @throws {ApiError} */
export async function getTailnets(): Promise<readonly string[]> {
  const { tailnets = [] } = await ask<{ readonly tailnets?: readonly string[] }>("/api/v1/status", {});
  return tailnets;
}

type Session = "open" | "signed_in" | "signed_out";

/** As the instance says it: without a token set, everything is open. */
interface SessionAnswer {
  readonly required: boolean;
  readonly signedIn: boolean;
}

const current = signal<Session>("open");

export const session: ReadonlySignal<Session> = current;

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
  const stop = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  const response = await fetch(url, { ...init, signal: stop });
  if (response.status === 204) return undefined as Answer;
  const answer = (await response.json().catch(() => undefined)) as { readonly text?: string } | undefined;
  if (response.status === 401) noteSignedOut();
  if (!response.ok || answer === undefined)
    throw new ApiError(response.status, answer?.text ?? `The instance answered ${response.status}`);
  return answer as Answer;
}

/** The instance has said whether this browser has to sign in. */
function noteSession({ required, signedIn }: SessionAnswer): void {
  current.value = !required ? "open" : signedIn ? "signed_in" : "signed_out";
}

/** An answer was 401: the cookie has expired, or the token has been changed. */
function noteSignedOut(): void {
  current.value = "signed_out";
}
