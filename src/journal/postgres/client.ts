/** The client for one host: connects with or without TLS, and can be dropped while a statement is running. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { ConnectionOptions } from "node:tls";
import pg, { type ClientConfig } from "pg";
import type { Config } from "../../config/schema.ts";
import type { PostgresAddress, PostgresHost } from "../../config/postgres-url.ts";
import { Unavailable } from "../../errors.ts";
import { DatabaseError } from "./errors.ts";

export type DatabaseSettings = Pick<Config["state"], "url" | "tls">;

/** Connect timeout. */
const connectMs = 5000;

/** The first query on each connection. Every pooler supports it. */
const greeting = `SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS "isReadOnly"`;

const { builtins, getTypeParser } = pg.types;

/** Numbers of rows and milliseconds are far below 2^53. */
const types = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    oid === builtins.INT8 ? Number : getTypeParser(oid, format),
} as NonNullable<ClientConfig["types"]>;

/**
 * Connects to a host, without TLS if `sslmode=prefer` and the host does not offer it.
 * @throws {DatabaseError} if it accepts no writes or does not answer. @throws what `pg` throws
 */
export async function openClient(
  address: PostgresAddress,
  host: PostgresHost,
  tls: ConnectionOptions | undefined,
): Promise<pg.Client> {
  const own = host.host.startsWith("/") ? undefined : tls;
  try {
    return await opened(address, host, own);
  } catch (error) {
    const isRefused = own !== undefined && /does not support SSL/.test(String(error));
    if (!isRefused || address.sslMode !== "prefer") throw error;
    return opened(address, host, undefined);
  }
}

async function opened(
  { user, password, database }: PostgresAddress,
  { host, port }: PostgresHost,
  ssl: ConnectionOptions | undefined,
): Promise<pg.Client> {
  const client = new pg.Client({
    host,
    port,
    user,
    // A function, so that no environment variable or file replaces an empty password.
    password: () => password,
    database,
    ssl: ssl ?? false,
    types,
    keepAlive: true,
    application_name: "tailscale2otel",
  });
  // Running statements get the error too. Without a listener, an error on an idle connection would end the process.
  client.on("error", () => destroy(client));
  const opening = (async () => {
    await client.connect();
    return client.query<{ isReadOnly: boolean }>(greeting);
  })();
  try {
    const { rows } = await within(connectMs, opening, () => new DatabaseError("no connection within 5 s", "away"));
    if (rows[0]?.isReadOnly === true)
      throw new DatabaseError("it accepts no writes: it is a standby, or read-only", "away");
    return client;
  } catch (error) {
    destroy(client);
    throw error instanceof DatabaseError
      ? new DatabaseError(`${placeOf([{ host, port }])}: ${error.message}`, "away")
      : error;
  }
}

/** Closes without a Terminate message, because a hung server would never read it. */
export function destroy(client: pg.Client): void {
  const { connection } = client as unknown as { readonly connection: { readonly stream: { destroy(): void } } };
  connection.stream.destroy();
}

/** Request code from the protocol, and a timeout for the request. */
const cancelRequest = 80_877_102;
const cancelMs = 5000;

/** Data that the server sent when the connection was made. */
interface Cancelable {
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
}

/**
 * Asks the server to cancel a statement, over a separate connection as the protocol requires; poolers pass it on. Otherwise a
 * statement that waits for a lock stays queued at the server after its connection is closed. Nothing waits for the answer.
 */
export function cancelStatement(client: pg.Client): void {
  const { host, port, processID, secretKey } = client as unknown as Cancelable;
  if (processID === null || secretKey === null) return;
  const request = Buffer.alloc(16);
  [request.length, cancelRequest, processID, secretKey].forEach((word, place) =>
    request.writeInt32BE(word | 0, 4 * place),
  );
  const socket = connect(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
  socket.setTimeout(cancelMs, () => socket.destroy());
  socket.on("error", () => undefined);
  socket.unref();
  socket.end(request);
}

/** The result, or after `limitMs` the error that `late` returns. */
export async function within<Result>(limitMs: number, result: Promise<Result>, late: () => Error): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs);
  });
  try {
    return await Promise.race([result, limit]);
  } finally {
    clearTimeout(timer);
    // The late result's own error has no receiver.
    result.catch(() => undefined);
  }
}

/**
 * TLS options with the meanings of libpq: `require` verifies nothing unless there is a CA file, `verify-ca` verifies the
 * certificate, `verify-full` also its name.
 * @throws {Unavailable} if a file cannot be read.
 */
export function tlsOf({ sslMode }: PostgresAddress, files: DatabaseSettings["tls"]): ConnectionOptions | undefined {
  if (sslMode === "disable") return undefined;
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw new Unavailable(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const { ca_file: ca, cert_file: cert, key_file: key } = files;
  const isVerified = sslMode === "verify-ca" || sslMode === "verify-full" || (sslMode === "require" && ca !== "");
  return {
    ...(ca !== "" && { ca: read(ca) }),
    ...(cert !== "" && key !== "" && { cert: read(cert), key: read(key) }),
    rejectUnauthorized: isVerified,
    ...(sslMode !== "verify-full" && { checkServerIdentity: () => undefined }),
  };
}

/** The hosts as text. */
export function placeOf(hosts: readonly PostgresHost[]): string {
  return `the database at ${hosts.map(({ host, port }) => (host.startsWith("/") ? host : `${host}:${port}`)).join(", ")}`;
}
