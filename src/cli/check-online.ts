/**
 * Implements `check --online`: tests everything in a valid configuration that depends on another machine, a file or a clock.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { type Config, destinationSections, tailnetConfigs, withKeysOf } from "../config/index.ts";
import { TailscaledError } from "../http/tailscaled.ts";
import { obtainKeyPair } from "../http/tls.ts";
import { systemClock } from "../lib/clock.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import { silentLogger } from "../lib/logger.ts";
import { createTailscaleApi } from "../tailscale/index.ts";
import { checkApi, maxTimeoutMs, type OpenApi } from "./check-api.ts";
import { checkOtlp } from "./check-otlp.ts";
import { checkState } from "./check-state.ts";
import { chosenTailnet } from "./flags.ts";
import type { OnlineFinding } from "./online-finding.ts";

const maxAttempts = 2;

/**
 * Checks the named tailnet, or all of them. Shared parts are checked once. @throws {UsageError} if there is no such tailnet.
 */
export async function checkTailnets(config: Config, name: string | undefined): Promise<readonly OnlineFinding[]> {
  const chosen = name === undefined ? tailnetConfigs(config) : [chosenTailnet(config, name)];
  const found = await Promise.all(
    chosen.map(async (tailnet, index) => {
      const { name: of, config: own } = tailnet;
      const findings = index === 0 ? await checkOnline(own) : [...(await checkTailscale(own)), await checkState(own)];
      if (of === "") return findings;
      return findings.map(({ remedy, ...rest }) => ({
        ...rest,
        subject: `${of}: ${rest.subject}`,
        ...(remedy === undefined ? {} : { remedy: withKeysOf(tailnet, remedy) }),
      }));
    }),
  );
  return found.flat();
}

/** Only reads, except that it sends empty exports. */
export async function checkOnline(config: Config): Promise<readonly OnlineFinding[]> {
  const [api, backend, certificates, journal] = await Promise.all([
    checkTailscale(config),
    checkOtlp(config),
    checkCertificates(config, systemClock()),
    checkState(config),
  ]);
  return [...api, ...backend, ...certificates, journal];
}

/** Checks the credentials for Tailscale's API and what they are used for. */
export function checkTailscale(config: Config): Promise<readonly OnlineFinding[]> {
  const { tailscale } = config;
  const { http } = tailscale;
  const limits = {
    timeout: Math.min(http.timeout, maxTimeoutMs),
    max_attempts: Math.min(http.max_attempts, maxAttempts),
  };
  const deps = { fetch, clock: systemClock, random: Math.random, logger: silentLogger, telemetry: silentTelemetry };
  const open: OpenApi = (scopes) => {
    const { auth } = tailscale;
    const narrowed = scopes === undefined ? auth : { ...auth, oauth: { ...auth.oauth, scopes: [...scopes] } };
    return createTailscaleApi({ ...tailscale, auth: narrowed, http: { ...http, ...limits } }, deps);
  };
  return checkApi(config, open, systemClock());
}

/** One finding per certificate in use, at `now` (epoch milliseconds). Whether keys match is checked without `--online`. */
async function checkCertificates(
  { streaming, webhook, admin, state, otlp, tailscale }: Config,
  now: number,
): Promise<readonly OnlineFinding[]> {
  const renew = "Renew it: changed files are read without a restart.";
  const authorityOf = (what: string): string =>
    `Set it to the certificate of the authority that signed the ${what}'s, in PEM form.`;
  const files = [
    streaming.enabled && { subject: "streaming.tls", file: streaming.tls.cert_file, url: streaming.public_url },
    webhook.enabled && { subject: "webhook.tls", file: webhook.tls.cert_file, url: webhook.public_url },
    admin.enabled && { subject: "admin.tls", file: admin.tls.cert_file },
    state.url !== "" && { subject: "state.tls", file: state.tls.cert_file },
    state.url !== "" && { subject: "state.tls.ca_file", file: state.tls.ca_file, remedy: authorityOf("database") },
    ...destinationSections({ otlp }).flatMap(([at, { tls }]) => [
      { subject: `${at}.tls`, file: tls.cert_file },
      { subject: `${at}.tls.ca_file`, file: tls.ca_file, remedy: authorityOf("backend") },
    ]),
  ];
  const obtained = [
    streaming.enabled && streaming.tls.tailscale && { subject: "streaming.tls", url: streaming.public_url },
    webhook.enabled && webhook.tls.tailscale && { subject: "webhook.tls", url: webhook.public_url },
    admin.enabled && admin.tls.tailscale && { subject: "admin.tls", url: "" },
  ].filter((one) => one !== false);
  return [
    ...files.flatMap((one) =>
      one === false || one.file === "" ? [] : [checkFile({ url: "", remedy: renew, ...one }, now)],
    ),
    ...(await Promise.all(obtained.map((one) => checkObtained(one, tailscale.socket, now)))),
  ];
}

/** Allows for a certificate that tailscaled does not have yet: if the request ends early, tailscaled gives up. */
const issueTimeoutMs = 90_000;

async function checkObtained(
  { subject, url }: Pick<Certificate, "subject" | "url">,
  socket: string,
  now: number,
): Promise<OnlineFinding> {
  try {
    const { pair, overdue } = await obtainKeyPair({ socket, timeoutMs: issueTimeoutMs }, now);
    const why = overdue instanceof TailscaledError ? `: ${overdue.message}. ${overdue.remedy}` : ".";
    return judge({ subject, url, remedy: `tailscaled cannot renew it${why}` }, pair.certificate, now);
  } catch (error) {
    if (!(error instanceof TailscaledError)) throw error;
    return { subject, outcome: "failed", detail: error.message, remedy: error.remedy };
  }
}

interface Certificate {
  readonly subject: string;
  /** The URL at which senders reach the receiver; empty for other certificates. */
  readonly url: string;
  readonly remedy: string;
}

const dayMs = 24 * 3_600_000;

/** Certificates of 90 days are renewed 30 days before they expire; one not renewed by now never will be. */
const shortMs = 14 * dayMs;

function checkFile({ file, ...shared }: Certificate & { readonly file: string }, now: number): OnlineFinding {
  const read = readRegularFile(file);
  if ("text" in read) return judge(shared, read.text, now, file);
  return {
    subject: shared.subject,
    outcome: "failed",
    detail: `cannot read ${file}: ${read.reason}`,
    remedy: shared.remedy,
  };
}

function judge({ subject, url, remedy }: Certificate, text: string, now: number, file = "the answer"): OnlineFinding {
  const failed = (detail: string): OnlineFinding => ({ subject, outcome: "failed", detail, remedy });
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(text);
  } catch {
    return failed(`${file} is not a certificate in PEM form`);
  }
  const leftMs = Date.parse(certificate.validTo) - now;
  if (leftMs <= 0) return failed(`it has expired (${certificate.validTo})`);
  const until = `valid until ${new Date(certificate.validTo).toISOString().slice(0, 10)}`;
  const host = url === "" ? undefined : new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
  if (host !== undefined && !covers(certificate, host)) {
    const other = "Get one for that name, unless a proxy in front of the receiver has its own certificate.";
    return { subject, outcome: "warning", detail: `${until}, but not for ${host}, the public host`, remedy: other };
  }
  if (leftMs >= shortMs) return { subject, outcome: "ok", detail: until };
  const days = Math.floor(leftMs / dayMs);
  const detail = `${until}: ${days} ${days === 1 ? "day is" : "days are"} left`;
  return { subject, outcome: "warning", detail, remedy };
}

function covers(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}
