/** Requests to the instance that serves this page, and the sign-in state of this browser. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { ofTailnet } from "./tailnet.ts";

/** An unsuccessful response, with the instance's own message. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** Longer than any response takes, including one to `wait=30s`; without it, a request may hang forever after sleep. */
const timeoutMs = 45_000;

/** A list is sent as one parameter per item. */
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

/** As the instance reports it; if no token is configured, nothing requires sign-in. */
interface SessionAnswer {
  readonly required: boolean;
  readonly signedIn: boolean;
}

const current = signal<Session>("open");

export const session: ReadonlySignal<Session> = current;

/** Asks whether a token is required. An instance without this endpoint requires none. */
export async function readSession(): Promise<void> {
  try {
    noteSession(await get<SessionAnswer>("/api/v1/session"));
  } catch {
    // Any other request shows the same error.
  }
}

/** @throws {ApiError} if the token is wrong. */
export async function signIn(token: string): Promise<void> {
  await post("/api/v1/session", { token });
  noteSession({ required: true, signedIn: true });
}

/** @throws {ApiError} */
export async function signOut(): Promise<void> {
  await ask("/api/v1/session", { method: "DELETE" });
  noteSignedOut();
}

/** The error as a message for people. */
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

/** Takes over what the instance says about the need to sign in. */
function noteSession({ required, signedIn }: SessionAnswer): void {
  current.value = !required ? "open" : signedIn ? "signed_in" : "signed_out";
}

/** Called on sign-out and after a 401: the cookie has expired, or the token has changed. */
function noteSignedOut(): void {
  current.value = "signed_out";
}
