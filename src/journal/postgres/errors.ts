/** What errors of a database, and of the way to it, mean for whoever asked: a repeat, a wait, or a person. */
import { Unavailable } from "../../errors.ts";
import { reasonOf } from "../batch.ts";

/**
 * `away`: it cannot be reached, or does not accept writes now. `conflict`: the same may succeed at once. `setup`: somebody has to
 * change something. `statement`: this statement cannot succeed.
 */
export type DatabaseFailure = "away" | "conflict" | "setup" | "statement";

/** What was asked for may succeed later, whatever the reason is. */
export class DatabaseError extends Unavailable {
  readonly kind: DatabaseFailure;
  /** SQLSTATE, if the database said it. */
  readonly code: string | undefined;

  constructor(message: string, kind: DatabaseFailure, code?: string) {
    super(message);
    this.kind = kind;
    this.code = code;
  }

  /** The server works, but not for this: no disk or memory or connection is left, it is read-only, or a privilege or table is missing. */
  get isRefusal(): boolean {
    return /^(?:53|25006|42|3F|0A)/.test(this.code ?? "");
  }
}

/** In this order; the first that matches. */
const kinds: readonly (readonly [codes: RegExp, kind: DatabaseFailure])[] = [
  // Serialization, deadlock, a lock that was not available in time, a statement that was cancelled.
  [/^(?:40001|40P01|55P03|57014)$/, "conflict"],
  // Connections; no more of them, or no memory or disk; shutdown, crash, start; read-only; an error of the system.
  [/^(?:08|53|57P|58)|^25006$|^25P0[234]$/, "away"],
  // Something exists already.
  [/^(?:42P06|42P07|42710|42723)$/, "statement"],
  // Authentication, databases, privileges and names.
  [/^(?:28|3D|3F|42|0A)/, "setup"],
];

/** What a person can do, by SQLSTATE. */
const remedies: readonly (readonly [codes: RegExp, remedy: string])[] = [
  [/^28/, "Correct user and password in state.url."],
  [/^3D/, "Create the database, or name another one in state.url."],
  [/^42501$/, "Grant the user CREATE on the database, or let it own the schema (state.schema)."],
  [/^(?:42P01|42883|42703|3F)/, "The schema (state.schema) is incomplete: restore it, or name another one."],
  [/^53300$/, "Raise max_connections of the server or the connection limit of the user, or use a pooler."],
];

/** What the client says if a repeat gives the same answer, in words that name the setting. */
const misfits: readonly (readonly [message: RegExp, reason: string])[] = [
  [
    /does not support SSL/,
    "it offers no TLS. Set up TLS in the database, or use sslmode=prefer or sslmode=disable in state.url.",
  ],
  [/client password must be/, "it asks for a password, and state.url has none. Put it into state.url."],
];

/** The error as whoever asked gets it. `where`: the server, in words. */
export function databaseErrorOf(error: unknown, where: string): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const code = sqlStateOf(error);
  if (isDistrusted(error))
    return new DatabaseError(
      `${where}: its certificate is not trusted: ${reasonOf(error)}. Correct the host or sslmode in state.url, or state.tls.ca_file.`,
      "setup",
    );
  const said = reasonOf(error);
  const misfit = code === undefined ? misfits.find(([message]) => message.test(said))?.[1] : undefined;
  if (misfit !== undefined) return new DatabaseError(`${where}: ${misfit}`, "setup");
  const kind = code === undefined ? "away" : (kinds.find(([codes]) => codes.test(code))?.[1] ?? "statement");
  const remedy = code === undefined ? undefined : remedies.find(([codes]) => codes.test(code))?.[1];
  const reason = `${where}: ${said}${code === undefined ? "" : ` (${code})`}`;
  return new DatabaseError(remedy === undefined ? reason : `${reason}. ${remedy}`, kind, code);
}

/** What is wrong with all hosts of a database; what it means is what a retry, or those who are served meanwhile, may depend on. */
export function errorOfAll(errors: readonly DatabaseError[]): DatabaseError {
  const [first, ...others] = errors as readonly [DatabaseError, ...DatabaseError[]];
  if (others.length === 0) return first;
  const decides = errors.find(({ isRefusal }) => isRefusal) ?? errors.find(({ kind }) => kind === "away") ?? first;
  return new DatabaseError(errors.map(({ message }) => message).join("; "), decides.kind, decides.code);
}

function isDistrusted(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^(?:ERR_TLS_CERT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code);
}

export function sqlStateOf(error: unknown): string | undefined {
  if (error instanceof DatabaseError) return error.code;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^[0-9A-Z]{5}$/.test(code) && "severity" in (error as Error) ? code : undefined;
}
