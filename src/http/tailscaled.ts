/** A client of the local tailscaled (LocalAPI): the state and name of this node, and the certificate of that name. */
import { readFileSync, readlinkSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import process from "node:process";
import { codeOf } from "../lib/system-error.ts";
import { parseRetryAfter } from "../lib/backoff.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import { printable } from "../lib/text.ts";
import { formatDuration } from "../lib/units.ts";
import { isObject } from "../records/members.ts";

/** What tailscaled refuses or cannot do: one line, and what to do about it. */
export class TailscaledError extends Error {
  override readonly name = "TailscaledError";
  constructor(
    message: string,
    readonly remedy: string,
    /** When a retry makes sense: soon if it costs nothing, later if it costs a request to the certificate authority. */
    readonly retryAfterSeconds = 10,
  ) {
    super(message);
  }
}

export interface TailscaledOptions {
  /** The path of its socket; empty for the default of this system. */
  readonly socket: string;
  /** Ends the request early. */
  readonly signal?: AbortSignal;
  /** Default: `issueTimeoutMs` for a certificate, `statusTimeoutMs` otherwise. */
  readonly timeoutMs?: number;
}

export interface PemTexts {
  readonly certificate: string;
  readonly key: string;
}

/**
 * The certificate of this node's name, and its key. In the last third of its lifetime, tailscaled renews it in the background
 * when asked; with less than `minValidityMs` left, before it answers.
 * @throws {TailscaledError}
 */
export async function tailscaledCertificate(
  options: TailscaledOptions,
  name: string,
  minValidityMs = 0,
): Promise<PemTexts> {
  // A Go duration: https://pkg.go.dev/time#ParseDuration
  const path = `cert/${name}?type=pair&min_validity=${Math.ceil(minValidityMs / 1000)}s`;
  const text = await get(path, { timeoutMs: issueTimeoutMs, ...options });
  // `type=pair` writes the key first.
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----\r?\n?/.exec(text)?.[0];
  if (key === undefined) throw new TailscaledError("tailscaled answered without a key", "Update Tailscale.", 900);
  return { key, certificate: text.replace(key, "") };
}

/** The name that this node can have a certificate for. @throws {TailscaledError} with the reason if there is none. */
export async function certificateName(options: TailscaledOptions): Promise<string> {
  const status = statusOf(await get("status?peers=false", { timeoutMs: statusTimeoutMs, ...options }));
  const names = status.CertDomains ?? [];
  const own = ownName(status);
  const name = names.includes(own) ? own : names[0];
  if (name !== undefined) return name;
  const [message, remedy] = whyNoName(status);
  throw new TailscaledError(message, remedy);
}

/** The full name of this node in its tailnet. @throws {TailscaledError} with the reason if it has none. */
export async function nodeName(options: TailscaledOptions): Promise<string> {
  const status = statusOf(await get("status?peers=false", { timeoutMs: statusTimeoutMs, ...options }));
  const name = ownName(status);
  if (name === "") throw new TailscaledError(...notLoggedIn);
  return name;
}

/** Timeouts for an answer from memory, and for a new certificate, which the authority issues within a minute or so. */
const statusTimeoutMs = 10_000;
const issueTimeoutMs = 180_000;

/** Without peers, a status is a few kilobytes; a chain of certificates is smaller. */
const maxAnswerBytes = 1024 * 1024;

/** The members of `ipnstate.Status` that are used here. */
interface Status {
  readonly BackendState?: string;
  readonly Self?: { readonly DNSName?: string } | null;
  readonly CertDomains?: readonly string[] | null;
  readonly CurrentTailnet?: { readonly MagicDNSEnabled?: boolean } | null;
}

function ownName({ Self: self }: Status): string {
  return self?.DNSName?.replace(/\.$/, "") ?? "";
}

function statusOf(text: string): Status {
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    throw new TailscaledError("the status of tailscaled is not JSON", "Update Tailscale.");
  }
  const { Self: self, CertDomains: names, CurrentTailnet: tailnet } = isObject(status) ? status : {};
  const isKnown =
    isObject(status) &&
    isObject(self ?? {}) &&
    isObject(tailnet ?? {}) &&
    Array.isArray(names ?? []) &&
    [(self as Status["Self"])?.DNSName ?? "", ...((names ?? []) as readonly unknown[])].every(isName);
  if (!isKnown) throw new TailscaledError("the status of tailscaled has an unknown form", "Update Tailscale.");
  return status as Status;
}

/** True for a name that is safe in paths and texts, or empty. */
function isName(value: unknown): boolean {
  return typeof value === "string" && /^[a-z0-9._-]*$/i.test(value);
}

const isLinux = process.platform === "linux";
const seeLog = `See its log${isLinux ? ": journalctl -u tailscaled" : "."}`;

const dnsPage = "on the DNS page of the admin console (https://login.tailscale.com/admin/dns)";

const notLoggedIn = ["this node is not logged in to a tailnet", "Run: tailscale up"] as const;
const notEnabled = ["HTTPS certificates are not enabled for this tailnet", `Enable them ${dnsPage}.`] as const;

function whyNoName({ BackendState: state, CurrentTailnet: tailnet }: Status): readonly [string, string] {
  if (state === "NeedsLogin") return notLoggedIn;
  if (state === "Stopped") return ["Tailscale is turned off on this node", "Run: tailscale up"];
  if (state === "NeedsMachineAuth")
    return ["this node waits for approval", "Approve it on the Machines page of the admin console."];
  // Without a connection to a relay the state is "Starting", although the tailnet is known.
  if (tailnet === undefined || tailnet === null) return ["tailscaled is still starting", `Wait. ${seeLog}`];
  if (tailnet.MagicDNSEnabled === false)
    return [
      "MagicDNS is off for this tailnet, and certificates need it",
      `Enable MagicDNS, then HTTPS certificates, ${dnsPage}.`,
    ];
  return notEnabled;
}

/** What an answer other than 200 means (feature/acme/cert.go, ipn/localapi/cert.go). */
function refusalOf(status: number, text: string, headers: IncomingMessage["headers"]): TailscaledError {
  const said = printable(text.trim().slice(0, 300));
  if (status === 403 && text.includes("cert access denied")) {
    const user = currentUser();
    const dynamic = "for a systemd service whose user exists only while it runs, use: tailscale2otel service install";
    const control = `or, for full control of Tailscale: tailscale set --operator=${user}`;
    const permit = `TS_PERMIT_CERT_UID=${user}`;
    const restart = `Add ${permit} to /etc/default/tailscaled and run: systemctl restart tailscaled`;
    return new TailscaledError(
      `tailscaled issues no certificates to this user (${user})`,
      isLinux
        ? `${restart} (${/^\d+$/.test(user) ? dynamic : control})`
        : `Restart tailscaled with ${permit} in its environment (${control})`,
    );
  }
  if (text.includes("no netmap")) return new TailscaledError(...notLoggedIn);
  if (text.includes("does not support getting TLS certs")) return new TailscaledError(...notEnabled);
  if (status === 429) {
    const waitMs = parseRetryAfter(headers["retry-after"] ?? null, Date.now(), maxRetryMs) ?? hourMs;
    return new TailscaledError(
      `the certificate authority limits requests: ${said}`,
      `Wait: it is tried again in ${formatDuration(Math.ceil(waitMs / 1000) * 1000)}.`,
      waitMs / 1000,
    );
  }
  return new TailscaledError(
    `tailscaled cannot get a certificate: HTTP ${status}, ${said === "" ? "without a reason" : said}`,
    seeLog,
    900,
  );
}

const hourMs = 3_600_000;
const maxRetryMs = 24 * hourMs;

/** The user of this process in the form of TS_PERMIT_CERT_UID: the name, or the number if /etc/passwd has no name for it. */
function currentUser(): string {
  const uid = String(process.getuid?.() ?? "");
  const passwd = readRegularFile("/etc/passwd");
  const lines = "text" in passwd ? passwd.text.split("\n") : [];
  return lines.map((line) => line.split(":")).find(([, , id]) => id === uid)?.[0] ?? uid;
}

type Place = { readonly socketPath: string } | { readonly host: string; readonly port: number; readonly auth: string };

/** Where tailscaled listens: paths/paths.go. The Mac app has a port and a password instead: safesocket_darwin.go. */
function placeOf(socket: string): Place {
  if (socket !== "") return { socketPath: socket };
  if (process.platform === "win32")
    return { socketPath: "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\Tailscale\\tailscaled" };
  if (process.platform !== "darwin") return { socketPath: "/var/run/tailscale/tailscaled.sock" };
  return macAppPlace("/Library/Tailscale") ?? { socketPath: "/var/run/tailscaled.socket" };
}

/** The address of the Mac app, whose password members of the group admin can read. */
export function macAppPlace(directory: string): Place | undefined {
  try {
    const port = readlinkSync(`${directory}/ipnport`);
    const password = readFileSync(`${directory}/sameuserproof-${port}`, "utf8").trim();
    return { host: "127.0.0.1", port: Number(port), auth: `:${password}` };
  } catch {
    return undefined;
  }
}

/** The body of a 200 answer. @throws {TailscaledError} */
function get(path: string, { socket, timeoutMs = statusTimeoutMs, signal }: TailscaledOptions): Promise<string> {
  const place = placeOf(socket);
  const where = "socketPath" in place ? place.socketPath : `${place.host}:${place.port}`;
  const timeout = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const tooSlow = `tailscaled gave no answer within ${formatDuration(timeoutMs)}`;
    const fail = (error: unknown): void =>
      reject(timeout.aborted ? new TailscaledError(tooSlow, seeLog, 900) : unreachable(error, where));
    const options = {
      ...place,
      path: `/localapi/v0/${path}`,
      // The only name that tailscaled accepts: a web page cannot send it.
      headers: { host: "local-tailscaled.sock" },
      agent: false,
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    };
    const sent = request(options, (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > maxAnswerBytes) sent.destroy(new Error("its answer is too large"));
      });
      answer.on("error", fail);
      answer.on("close", () => fail(new Error("its answer ends early")));
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (!answer.complete) fail(new Error("its answer ends early"));
        else if (answer.statusCode === 200) resolve(text);
        else reject(refusalOf(answer.statusCode ?? 0, text, answer.headers));
      });
    });
    sent.on("error", fail);
    sent.end();
  });
}

function unreachable(error: unknown, where: string): TailscaledError {
  const start = "Start tailscaled, or set tailscale.socket to the path of its socket.";
  switch (codeOf(error)) {
    case "ENOENT":
      return new TailscaledError(`there is no tailscaled: ${where} does not exist`, `Install Tailscale. ${start}`);
    case "ECONNREFUSED":
      return new TailscaledError(`tailscaled is not running: nothing listens on ${where}`, start);
    case "EACCES":
    case "EPERM":
      return new TailscaledError(`this user may not open ${where}`, "Run it as a user who may, or change its mode.");
    default: {
      const why = error instanceof Error ? printable(error.message) : String(error);
      return new TailscaledError(`cannot talk to tailscaled at ${where}: ${why}`, start);
    }
  }
}
