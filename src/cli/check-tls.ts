/** `check --online`, certificates: well formed, with their key, valid for some time, and for the name that senders use. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Config } from "../config/index.ts";
import { readKeyPair, tlsFilesOf } from "../http/tls.ts";
import type { Clock } from "../lib/clock.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

const dayMs = 24 * 3_600_000;

/** Certificates of 90 days are renewed with 30 to go: one that has not been by now will not be. */
const shortMs = 14 * dayMs;

/** One finding for each certificate that is in use. */
export async function checkCertificates({ streaming, webhook, otlp }: Config, clock: Clock): Promise<OnlineFinding[]> {
  const now = clock();
  const findings = await Promise.all([
    streaming.enabled ? checkPair("streaming.tls", streaming.tls, streaming.public_url, now) : [],
    webhook.enabled ? checkPair("webhook.tls", webhook.tls, webhook.public_url, now) : [],
    checkPair("otlp.tls", otlp.tls, "", now),
  ]);
  return [...findings.flat(), ...(otlp.tls.ca_file === "" ? [] : [checkAuthority(otlp.tls.ca_file, now)])];
}

async function checkPair(
  subject: string,
  tls: { readonly cert_file: string; readonly key_file: string },
  publicUrl: string,
  now: number,
): Promise<OnlineFinding[]> {
  const files = tlsFilesOf(tls);
  if (files === undefined) return [];
  try {
    const { certificate, notAfter } = await readKeyPair(files, now);
    const until = `valid until ${new Date(notAfter).toISOString().slice(0, 10)}`;
    const host = publicUrl === "" ? undefined : new URL(publicUrl).hostname.replace(/^\[(.*)\]$/, "$1");
    if (host !== undefined && !covers(new X509Certificate(certificate), host)) {
      const remedy = "Get one for that name, unless a proxy in front of the receiver has its own certificate.";
      return [{ subject, outcome: "warning", detail: `${until}, but not for ${host}, the public host`, remedy }];
    }
    if (notAfter - now >= shortMs) return [{ subject, outcome: "ok", detail: until }];
    const days = Math.floor((notAfter - now) / dayMs);
    const detail = `${until}: ${days} ${days === 1 ? "day is" : "days are"} left`;
    return [{ subject, outcome: "warning", detail, remedy: "Renew it; changed files are read without a restart." }];
  } catch (error) {
    const remedy = `Renew it, and set ${subject}.cert_file to the certificate with its chain and ${subject}.key_file to its key.`;
    return [{ ...failure(subject, error), remedy }];
  }
}

function covers(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}

function checkAuthority(file: string, now: number): OnlineFinding {
  const subject = "otlp.tls.ca_file";
  const remedy = "Set it to the certificate of the authority that signed the backend's, in PEM form.";
  try {
    const { validTo } = new X509Certificate(readFileSync(file));
    if (Date.parse(validTo) > now) return { subject, outcome: "ok", detail: `valid until ${validTo}` };
    return { subject, outcome: "failed", detail: `it has expired (${validTo})`, remedy };
  } catch {
    return { subject, outcome: "failed", detail: `${file} is not a certificate in PEM form`, remedy };
  }
}
