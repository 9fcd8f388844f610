/** Whether this browser has signed in, if the instance requires it. */
import { type ReadonlySignal, signal } from "@preact/signals";

export type Session = "open" | "signed_in" | "signed_out";

/** As the instance says it: without a token set, everything is open. */
export interface SessionAnswer {
  readonly required: boolean;
  readonly signedIn: boolean;
}

const current = signal<Session>("open");

export const session: ReadonlySignal<Session> = current;

/** The instance has said whether this browser has to sign in. */
export function noteSession({ required, signedIn }: SessionAnswer): void {
  current.value = !required ? "open" : signedIn ? "signed_in" : "signed_out";
}

/** An answer was 401: the cookie has expired, or the token has been changed. */
export function noteSignedOut(): void {
  current.value = "signed_out";
}
