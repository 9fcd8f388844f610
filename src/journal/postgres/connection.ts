/** Connections to the database: each does one statement at a time, and is made anew when it was lost. */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import pg, { type ClientConfig } from "pg";
import type { Config } from "../../config/schema.ts";
import { parsePostgresUrl, type PostgresAddress, type PostgresHost } from "../../config/postgres-url.ts";
import { Unavailable } from "../../errors.ts";
import { calmLogger, type Logger } from "../../lib/logger.ts";
import { cancelStatement, destroy } from "./cancel.ts";
import { DatabaseError, databaseErrorOf } from "./errors.ts";

export type DatabaseSettings = Pick<Config["state"], "url" | "tls">;

/** How long connecting may take, and how long it is not tried again after it failed: doubled from time to time, and less than an append waits. */
const connectMs = 5000;
const firstPauseMs = 100;
const lastPauseMs = 2000;

/** What the server has to be asked first. Every pooler knows it. */
const greeting = `SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS "isReadOnly"`;

const { builtins, getTypeParser } = pg.types;

/** Numbers of rows and milliseconds are far below 2^53. */
const types = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    oid === builtins.INT8 ? Number : getTypeParser(oid, format),
} as NonNullable<ClientConfig["types"]>;

/** A database whose connections share what is known of it. */
export class Database {
  readonly address: PostgresAddress;
  readonly tls: ConnectionOptions | undefined;
  readonly #logger: Logger;
  /** Whether a journal is open on it. Until then, whoever opens it says what nobody will repeat. */
  isOpen = false;
  #failureIsSaid = false;
  /** Why it cannot be used now, and since when by the steady clock. */
  failure: { readonly reason: string; readonly since: number } | undefined;

  /** @throws {Unavailable} if the settings cannot be used. */
  constructor(settings: DatabaseSettings, logger: Logger) {
    const address = parsePostgresUrl(settings.url);
    if (typeof address === "string") throw new Unavailable(`invalid state.url: ${address}`);
    this.address = address;
    this.tls = tlsOf(address, settings.tls);
    // A database may come and go, or serve one and refuse another, many times a second.
    this.#logger = calmLogger(logger, () => performance.now());
  }

  /**
   * `limitMs`: how long a statement may take. The connection is given up then. `reads`: if it was lost since the statement before,
   * the next one is asked again over another.
   */
  connect(limitMs: number, use: "reads" | "writes" = "writes"): Connection {
    return new Connection(this, limitMs, use);
  }

  failed(error: DatabaseError): void {
    this.failure = { reason: error.message, since: this.failure?.since ?? performance.now() };
    this.#failureIsSaid ||= error.kind !== "setup" || this.isOpen;
    this.#warn("the database cannot be used; retrying", error);
  }

  /** It answers, and refuses what one connection asks for. Others may be served meanwhile. */
  refused(error: DatabaseError): void {
    this.#warn("the database refuses statements; retrying", error);
  }

  answered(): void {
    if (this.#failureIsSaid) this.#logger.info("the database can be used again");
    this.#failureIsSaid = false;
    this.failure = undefined;
  }

  #warn(message: string, { message: reason, kind }: DatabaseError): void {
    if (kind !== "setup" || this.isOpen) this.#logger.warn(message, { reason });
  }
}

export class Connection {
  readonly #database: Database;
  readonly #limitMs: number;
  readonly #use: "reads" | "writes";
  #client: pg.Client | undefined;
  /** Settles when the statement before is done. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #pauseMs = 0;
  #pausedUntil = 0;
  #pausedFor: DatabaseError | undefined;
  /** Since when the server refuses what is asked here, and when it last did. */
  refused: { readonly reason: string; readonly since: number; readonly at: number } | undefined;

  constructor(database: Database, limitMs: number, use: "reads" | "writes") {
    this.#database = database;
    this.#limitMs = limitMs;
    this.#use = use;
  }

  /**
   * Resolves with the rows of a statement. Values go in binary if they are bytes.
   * @throws {DatabaseError}
   */
  query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#inTurn(async (client) => {
      const { rows } = await client.query<Row>({ text: sql, values: [...values] });
      return rows;
    });
  }

  /** The rows of each of several statements, all in one transaction. @throws {DatabaseError} */
  run<Row extends object>(statements: readonly string[]): Promise<readonly Row[][]> {
    return this.#inTurn(async (client) => {
      const text = statements.join(";\n");
      const results = (await client.query(text)) as unknown as pg.QueryResult<Row> | pg.QueryResult<Row>[];
      return [results].flat().map(({ rows }) => rows);
    });
  }

  /** What is under way fails. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  #inTurn<Result>(ask: (client: pg.Client) => Promise<Result>): Promise<Result> {
    const answer = this.#last.then(() => this.#asked(ask));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #asked<Result>(ask: (client: pg.Client) => Promise<Result>): Promise<Result> {
    const database = this.#database;
    const mayBeLost = this.#client !== undefined && this.#use === "reads";
    const client = this.#client ?? (await this.#connected());
    const where = placeOf(database.address.hosts);
    let isLate = false;
    try {
      const result = await within(this.#limitMs, ask(client), () => {
        isLate = true;
        cancelStatement(client);
        this.#drop();
        return new DatabaseError(`${where}: no answer within ${this.#limitMs / 1000} s`, "away");
      });
      this.refused = undefined;
      database.answered();
      return result;
    } catch (cause) {
      const error = databaseErrorOf(cause, where);
      if (error.kind === "away") {
        this.#drop();
        if (mayBeLost && !isLate && !this.#isClosed) return this.#asked(ask);
      }
      if (error.kind === "away" || error.kind === "setup") this.#failed(error);
      else database.answered();
      throw error;
    }
  }

  #failed(error: DatabaseError): void {
    if (this.#isClosed) return;
    if (!error.isRefusal) return this.#database.failed(error);
    const at = performance.now();
    this.refused = { reason: error.message, since: this.refused?.since ?? at, at };
    this.#database.refused(error);
  }

  /** Connects, unless that has failed a moment ago. */
  async #connected(): Promise<pg.Client> {
    if (this.#isClosed) throw new DatabaseError("the journal is closed", "away");
    if (this.#pausedFor !== undefined && performance.now() < this.#pausedUntil) throw this.#pausedFor;
    try {
      const client = await this.#connect();
      this.#pauseMs = 0;
      this.#pausedFor = undefined;
      if (this.#isClosed) {
        destroy(client);
        throw new DatabaseError("the journal is closed", "away");
      }
      this.#client = client;
      client.once("end", () => {
        if (this.#client === client) this.#client = undefined;
      });
      return client;
    } catch (cause) {
      const error = databaseErrorOf(cause, placeOf(this.#database.address.hosts));
      this.#pauseMs = Math.min(lastPauseMs, this.#pauseMs === 0 ? firstPauseMs : this.#pauseMs * 2);
      this.#pausedUntil = performance.now() + this.#pauseMs;
      this.#pausedFor = error;
      this.#failed(error);
      throw error;
    }
  }

  /** The first host that accepts writes. */
  async #connect(): Promise<pg.Client> {
    const { address, tls } = this.#database;
    let failure: unknown;
    for (const host of address.hosts) {
      const isSocket = host.host.startsWith("/");
      const forms =
        isSocket || tls === undefined ? [undefined] : address.sslMode === "prefer" ? [tls, undefined] : [tls];
      for (const form of forms) {
        try {
          return await openClient(address, host, form);
        } catch (error) {
          failure = databaseErrorOf(error, placeOf([host]));
          // Only a server without TLS is asked again without it.
          if (!/does not support SSL/.test(String(error))) break;
        }
      }
    }
    throw failure;
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) destroy(client);
  }
}

async function openClient(
  { user, password, database }: PostgresAddress,
  { host, port }: PostgresHost,
  ssl: ConnectionOptions | undefined,
): Promise<pg.Client> {
  const client = new pg.Client({
    host,
    port,
    user,
    // As a function, so that no variable and no file takes the place of an empty one.
    password: () => password,
    database,
    ssl: ssl ?? false,
    types,
    keepAlive: true,
    application_name: "tailscale2otel",
  });
  // What is under way gets the error too. Without a listener, that of an idle connection would end the process.
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

/** The result, or after that time the error that `late` gives. */
async function within<Result>(limitMs: number, result: Promise<Result>, late: () => Error): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs);
  });
  try {
    return await Promise.race([result, limit]);
  } finally {
    clearTimeout(timer);
    // If it was late, its own error has nobody to tell.
    result.catch(() => undefined);
  }
}

/**
 * libpq's meanings: `require` verifies nothing unless there is a CA file, `verify-ca` the certificate, `verify-full` its name too.
 * @throws {Unavailable} if a file cannot be read.
 */
function tlsOf({ sslMode }: PostgresAddress, files: DatabaseSettings["tls"]): ConnectionOptions | undefined {
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

function placeOf(hosts: readonly PostgresHost[]): string {
  return `the database at ${hosts.map(({ host, port }) => (host.startsWith("/") ? host : `${host}:${port}`)).join(", ")}`;
}
