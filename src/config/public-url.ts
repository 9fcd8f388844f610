/** The address at which Tailscale reaches a receiver: which ones can work, and what is said of the others. */
import { isIP } from "node:net";
import type { Warning } from "./diagnosis.ts";
import type { Finding, Rule } from "./rule.ts";
import type { Config } from "./schema.ts";

type Receiver = "streaming" | "webhook";

/** Finds an address that Tailscale could not use. Its text is never shown: a query can be a secret. */
export function publicUrlRule(receiver: Receiver): Rule {
  const key = `${receiver}.public_url`;
  return {
    keys: [key],
    find: ({ config }) => (config[receiver].public_url === "" ? undefined : complaintOf(config[receiver].public_url)),
  };
}

/** What of a public address works and is probably not meant. */
export function publicUrlCautions(config: Config): readonly Warning[] {
  return (["streaming", "webhook"] as const).flatMap((receiver) => {
    const { enabled, public_url: address } = config[receiver];
    if (!enabled || address === "" || !URL.canParse(address)) return [];
    const { protocol, search } = new URL(address);
    const key = `${receiver}.public_url`;
    return [...(protocol === "http:" ? [plainHttp(key)] : []), ...(search === "" ? [] : [query(key)])];
  });
}

function complaintOf(address: string): Finding | undefined {
  const url = new URL(address);
  const host = url.hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  const finding = (message: string, remedy: string): Finding => ({
    message,
    allowed: "https, or http where the host is a private name or an IPv6 address; no user, password or fragment",
    remedy,
  });
  if (url.username !== "" || url.password !== "") {
    return finding("it holds a user or a password", "Remove them: the token or the signature says who sends.");
  }
  if (url.hash !== "") return finding("it has a fragment, which is never sent", "Remove the part from # on.");
  if (isIP(host) === 4 || host.startsWith("::ffff:")) {
    return finding(
      "its host is an IPv4 address, at which Tailscale sends nothing",
      "Write the host's name, or its Tailscale IPv6 address in brackets.",
    );
  }
  if (url.protocol === "http:" && !isPrivateHost(host)) {
    return finding("it is plain http, and its host is a public name", "Let it begin with https://.");
  }
  return undefined;
}

/** Reached inside the tailnet or a network of one's own: an IPv6 address, one word, or a name of a zone that is nobody's. */
function isPrivateHost(host: string): boolean {
  const name = host.replace(/\.$/, "");
  return isIP(name) === 6 || !name.includes(".") || privateZones.some((zone) => name.endsWith(zone));
}

/** RFC 6762 appendix G, RFC 8375, and what ICANN has set aside; Tailscale's own names. */
const privateZones = [
  ".ts.net",
  ".internal",
  ".local",
  ".localhost",
  ".home.arpa",
  ".intranet",
  ".private",
  ".corp",
  ".home",
  ".lan",
];

function plainHttp(key: string): Warning {
  return {
    key,
    message: "it is plain HTTP: what is sent, the token too, is protected by nothing but the tailnet",
    remedy: "Let it begin with https://, unless Tailscale reaches it inside the tailnet.",
  };
}

function query(key: string): Warning {
  return {
    key,
    message: "it has a query, which is shown to whoever may read the settings at Tailscale",
    remedy: "Put nothing secret there.",
  };
}
