/** Addresses to listen on, as written in settings: `host:port`, `[v6]:port` or `:port`. */
import { isIP } from "node:net";

export interface ListenAddress {
  /** As written. */
  readonly text: string;
  /** Without brackets. Absent: all addresses of this machine, IPv6 and IPv4. */
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

/** True if only programs on this machine can reach the host. */
export function isLoopback(hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const name = hostname.toLowerCase();
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return (isIP(name) === 4 && name.startsWith("127.")) || name.startsWith("::ffff:127.");
}

/** True if the host is an address that Tailscale gives to nodes: 100.64.0.0/10, fd7a:115c:a1e0::/48. */
export function isTailnetAddress(hostname: string): boolean {
  if (isIP(hostname) === 4) return /^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(hostname);
  return isIP(hostname) === 6 && /^fd7a:115c:a1e0:/i.test(hostname);
}

/** True if only one of two addresses can be bound: same port, overlapping hosts. Port 0 never conflicts. */
export function overlaps(one: string, other: string): boolean {
  const [first, second] = [parseListen(one), parseListen(other)];
  if (first === undefined || second === undefined || first.port !== second.port || first.port === 0) return false;
  const hosts = [first, second].map(({ hostname = "::" }) => hostname.toLowerCase());
  const isOneOf = (host: string, others: (text: string) => boolean): boolean =>
    hosts.includes(host) && hosts.some(others);
  // Names are resolved later, so a name overlaps with itself and with the wildcard addresses.
  return (
    hosts[0] === hosts[1] ||
    hosts.includes("::") ||
    isOneOf("0.0.0.0", (host) => host !== "0.0.0.0" && isIP(host) !== 6) ||
    isOneOf("localhost", (host) => host === "127.0.0.1" || host === "::1")
  );
}

/** The URL of a listener for programs on this machine. `port` replaces the written one, which may be 0. */
export function urlOfListen(listen: string, scheme: "http" | "https", port?: number): string {
  const address = parseListen(listen);
  if (address === undefined) throw new TypeError(`not an address to listen on: ${listen}`);
  const { hostname = "0.0.0.0" } = address;
  const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port ?? address.port}`;
}

/** The URL for programs on other machines, which know this one as `host`. Empty if the port is any free one. */
export function urlForOthers(listen: string, scheme: "http" | "https", host: string): string {
  const { hostname = "::", port = 0 } = parseListen(listen) ?? {};
  if (port === 0) return "";
  return hostname === "::" || hostname === "0.0.0.0" ? `${scheme}://${host}:${port}` : urlOfListen(listen, scheme);
}

/** The listener as shown to a person: a URL, or a text such as "http on all interfaces, port 8088". */
export function shownListen(listen: string, scheme: "http" | "https", port: number): string {
  const { hostname = "::" } = parseListen(listen) ?? {};
  if (hostname === "::") return `${scheme} on all interfaces, port ${port}`;
  if (hostname === "0.0.0.0") return `${scheme} on all IPv4 interfaces, port ${port}`;
  return urlOfListen(listen, scheme, port);
}
