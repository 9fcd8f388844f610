/** Addresses to listen on, as written in settings: `host:port`, `[v6]:port` or `:port`. */
import { isIP } from "node:net";

export interface ListenAddress {
  /** As written. */
  readonly text: string;
  /** Without brackets. Absent: every address of this machine, IPv6 and IPv4. */
  readonly hostname: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

/** `undefined` if the text has another form. */
export function parseListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([^\][]*)\]|([^:\][/\s]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain = "", digits] = match;
  const port = Number(digits);
  const isHost = bracketed === undefined ? !/^[\d.]+$/.test(plain) || isIP(plain) === 4 : isIP(bracketed) === 6;
  if (!isHost || port > 65_535) return undefined;
  return { text, hostname: bracketed ?? (plain === "" ? undefined : plain), port };
}

/** Whether only programs on this machine can reach the host. */
export function isLoopback(hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const name = hostname.toLowerCase();
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return (isIP(name) === 4 && name.startsWith("127.")) || name.startsWith("::ffff:127.");
}

/** Whether only one of two addresses can be bound: the same port, on hosts that overlap. Port 0 is a free one each time. */
export function overlaps(one: string, other: string): boolean {
  const [first, second] = [parseListen(one), parseListen(other)];
  if (first === undefined || second === undefined || first.port !== second.port || first.port === 0) return false;
  const theirs = coverage(second.hostname);
  return coverage(first.hostname).some((own) =>
    theirs.some(({ family, host }) => family === own.family && (host === own.host || host === "*" || own.host === "*")),
  );
}

/** The URL of a listener for a program on this machine. `port` replaces the written one, which may be 0. */
export function urlOfListen(listen: string, scheme: "http" | "https", port?: number): string {
  const address = parseListen(listen);
  if (address === undefined) throw new TypeError(`not an address to listen on: ${listen}`);
  const { hostname = "0.0.0.0" } = address;
  const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port ?? address.port}`;
}

/** The same for a person: a URL, or that it listens on all interfaces. */
export function shownListen(listen: string, scheme: "http" | "https", port: number): string {
  const { hostname = "::" } = parseListen(listen) ?? {};
  if (hostname === "::") return `${scheme} on all interfaces, port ${port}`;
  if (hostname === "0.0.0.0") return `${scheme} on all IPv4 interfaces, port ${port}`;
  return urlOfListen(listen, scheme, port);
}

/** What a host binds, by address family. A name is resolved later, so it overlaps only with itself and with everything. */
function coverage(hostname = "::"): readonly { readonly family: 4 | 6; readonly host: string }[] {
  const host = hostname.toLowerCase();
  if (host === "::") return [4, 6].map((family) => ({ family: family as 4 | 6, host: "*" }));
  if (host === "0.0.0.0") return [{ family: 4, host: "*" }];
  if (host === "localhost")
    return [
      { family: 4, host: "127.0.0.1" },
      { family: 6, host: "::1" },
    ];
  const family = isIP(host);
  if (family === 4 || family === 6) return [{ family, host }];
  return [4, 6].map((each) => ({ family: each as 4 | 6, host }));
}
