/** Parses PostgreSQL URLs as libpq does: `postgres://user:password@host:port/database?sslmode=verify-full`. */

export type SslMode = (typeof sslModes)[number];

export const sslModes = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;

export interface PostgresHost {
  /** A host name, an IP address, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
}

export interface PostgresAddress {
  /** Tried in this order; the first that accepts writes is used. */
  readonly hosts: readonly PostgresHost[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly sslMode: SslMode;
}

const usualPort = 5432;
const shape = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const hostShape = /^(\[[0-9a-f:.]+\]|[^:[\]]*)(?::(\d{1,5}))?$/i;

/** The parts of a URL, or why it is invalid, without quoting anything that could be a secret. */
export function parsePostgresUrl(url: string): PostgresAddress | string {
  const [, login = "", hostList = "", path = "", query = ""] = shape.exec(url) ?? [];
  if (!shape.test(url)) return "it is not of the form postgres://user:password@host:port/database";
  const [user = "", ...rest] = login.split(":");
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys())
    if (name !== "sslmode" && name !== "host") return `the parameter ${shortened(name)} is not supported`;
  const sslMode = parameters.get("sslmode") ?? "prefer";
  if (!isSslMode(sslMode)) return `sslmode is ${shortened(sslMode)}, and not one of ${sslModes.join(", ")}`;
  const hosts: PostgresHost[] = [];
  for (const one of (hostList || (parameters.get("host") ?? "")).split(",")) {
    const [, name = "", port = String(usualPort)] = (one.startsWith("/") ? [one, one] : hostShape.exec(one)) ?? [];
    const decoded = percentDecoded(name);
    if (decoded === undefined || decoded === "" || Number(port) < 1 || Number(port) > 65_535)
      return hostList === "" && one === "" ? "it names no host" : "a host or port of it is invalid";
    hosts.push({ host: decoded.replace(/^\[(.*)\]$/, "$1"), port: Number(port) });
  }
  const [decodedUser, password, database] = [user, rest.join(":"), path].map(percentDecoded);
  if (decodedUser === undefined || password === undefined || database === undefined)
    return "it has a % that is not followed by two hexadecimal digits: write % as %25";
  if (decodedUser === "") return "it names no user";
  return { hosts, user: decodedUser, password, database: database === "" ? decodedUser : database, sslMode };
}

/** Servers, database and schema as text, without user and password. The settings must be valid. */
export function databaseText({ url, schema }: { readonly url: string; readonly schema: string }): string {
  const address = parsePostgresUrl(url);
  if (typeof address === "string") return `schema ${schema}`;
  const servers = address.hosts.map(({ host, port }) => `${/^[^/].*:/.test(host) ? `[${host}]` : host}:${port}`);
  return `postgres://${servers.join(",")}/${address.database}, schema ${schema}`;
}

function isSslMode(text: string): text is SslMode {
  return (sslModes as readonly string[]).includes(text);
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function shortened(text: string): string {
  return JSON.stringify(text.slice(0, 30));
}
