/** Classifies errors of the database and of the network to it by what resolves them: a retry, a wait, or an operator. */
import { Unavailable } from "../../errors.ts";
import { reasonOf } from "../batch.ts";

/**
 * `away`: unreachable, or not accepting writes now. `conflict`: an immediate retry may succeed. `setup`: an operator has to
 * change something. `statement`: this statement cannot succeed.
 */
export type DatabaseFailure = "away" | "conflict" | "setup" | "statement";

/** A failed request to the database; the same request may succeed later, whatever the reason. */
export class DatabaseError extends Unavailable {
  readonly kind: DatabaseFailure;
  /** SQLSTATE, if the error came from the database. */
  readonly code: string | undefined;

  constructor(message: string, kind: DatabaseFailure, code?: string) {
    super(message);
    this.kind = kind;
    this.code = code;
  }

  /**
   * True if the server works but refuses this request: disk, memory or connections are exhausted, it is read-only, or a privilege
   * or table is missing.
   */
  get isRefusal(): boolean {
    return /^(?:53|25006|42|3F|0A)/.test(this.code ?? "");
  }
}

/** Checked in order; the first match applies. */
const kinds: readonly (readonly [codes: RegExp, kind: DatabaseFailure])[] = [
  // Serialization failure, deadlock, lock timeout, cancelled statement.
  [/^(?:40001|40P01|55P03|57014)$/, "conflict"],
  // Connection errors; no connections, memory or disk left; shutdown, crash, startup; read-only; system errors.
  [/^(?:08|53|57P|58)|^25006$|^25P0[234]$/, "away"],
  // An object exists already.
  [/^(?:42P06|42P07|42710|42723)$/, "statement"],
  // Authentication, databases, privileges and names.
  [/^(?:28|3D|3F|42|0A)/, "setup"],
];

/** What an operator can do, by SQLSTATE. */
const remedies: readonly (readonly [codes: RegExp, remedy: string])[] = [
  [/^28/, "Correct user and password in state.url."],
  [/^3D/, "Create the database, or name another one in state.url."],
  [/^42501$/, "Grant the user CREATE on the database, or let it own the schema (state.schema)."],
  [/^(?:42P01|42883|42703|3F)/, "The schema (state.schema) is incomplete: restore it, or name another one."],
  [/^53300$/, "Raise max_connections of the server or the connection limit of the user, or use a pooler."],
];

/** Client errors that a retry would only repeat, with reasons that name the setting. */
const misfits: readonly (readonly [message: RegExp, reason: string])[] = [
  [
    /does not support SSL/,
    "it offers no TLS. Set up TLS in the database, or use sslmode=prefer or sslmode=disable in state.url.",
  ],
  [/client password must be/, "it asks for a password, and state.url has none. Put it into state.url."],
];

/** The error as reported to callers. `where`: the server as text. */
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

/** Combines the errors of all hosts of a database; the kind is one that a retry, or clients that are served meanwhile, may depend on. */
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
