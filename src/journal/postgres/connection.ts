/** Connections to the database: each runs one statement at a time, and reconnects when it was lost. */
import type { ConnectionOptions } from "node:tls";
import type pg from "pg";
import { parsePostgresUrl, type PostgresAddress } from "../../config/postgres-url.ts";
import { Unavailable } from "../../errors.ts";
import { calmLogger, type Logger } from "../../lib/logger.ts";
import { cancelStatement, type DatabaseSettings, destroy, openClient, placeOf, tlsOf, within } from "./client.ts";
import { DatabaseError, databaseErrorOf, errorOfAll } from "./errors.ts";

/** Back-off after a failed connect: doubled each time, and shorter than an append waits. */
const firstPauseMs = 100;
const lastPauseMs = 2000;

/** A database, with the state that its connections share. */
export class Database {
  readonly address: PostgresAddress;
  readonly tls: ConnectionOptions | undefined;
  readonly #logger: Logger;
  /** True once a journal is open on it. Until then, the caller that opens it reports errors that need a change of setup. */
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
    // A database may become available and unavailable, or serve one connection and refuse another, many times a second.
    this.#logger = calmLogger(logger, () => performance.now());
  }

  /**
   * `limitMs`: timeout of a statement, after which the connection is dropped. `reads`: if the connection was lost since the
   * previous statement, the next one is repeated over a new connection.
   */
  connect(limitMs: number, use: "reads" | "writes" = "writes"): Connection {
    return new Connection(this, limitMs, use);
  }

  failed(error: DatabaseError): void {
    this.failure = { reason: error.message, since: this.failure?.since ?? performance.now() };
    this.#failureIsSaid ||= error.kind !== "setup" || this.isOpen;
    this.#warn("the database cannot be used; retrying", error);
  }

  /** The database answers but refuses what one connection requests. Others may be served meanwhile. */
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
  /** Settles when the previous statement is done. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #pauseMs = 0;
  #pausedUntil = 0;
  #pausedFor: DatabaseError | undefined;
  /** Since when the server refuses statements of this connection, and when it last did. */
  refused: { readonly reason: string; readonly since: number; readonly at: number } | undefined;

  constructor(database: Database, limitMs: number, use: "reads" | "writes") {
    this.#database = database;
    this.#limitMs = limitMs;
    this.#use = use;
  }

  /**
   * Resolves with the rows of a statement. Byte values are sent in binary.
   * @throws {DatabaseError}
   */
  query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#inTurn(async (client) => {
      const { rows } = await client.query<Row>({ text: sql, values: [...values] });
      return rows;
    });
  }

  /** Resolves with the rows of each of several statements, run in one transaction. @throws {DatabaseError} */
  run<Row extends object>(statements: readonly string[]): Promise<readonly Row[][]> {
    return this.#inTurn(async (client) => {
      const text = statements.join(";\n");
      const results = (await client.query(text)) as unknown as pg.QueryResult<Row> | pg.QueryResult<Row>[];
      return [results].flat().map(({ rows }) => rows);
    });
  }

  /** Closes the connection; the running statement fails. */
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

  /** Connects, unless that failed a moment ago. */
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

  /** Connects to the first host that accepts writes. @throws {DatabaseError} with the problem of each host. */
  async #connect(): Promise<pg.Client> {
    const { address, tls } = this.#database;
    const failures: DatabaseError[] = [];
    for (const host of address.hosts) {
      try {
        return await openClient(address, host, tls);
      } catch (error) {
        failures.push(databaseErrorOf(error, placeOf([host])));
      }
    }
    throw errorOfAll(failures);
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) destroy(client);
  }
}
