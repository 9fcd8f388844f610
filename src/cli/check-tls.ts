/** Whether the certificates in the settings can be used: well formed, with their key, valid, and for the name that is called. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Config } from "../config/index.ts";
import { type KeyPair, readKeyPair, tlsFilesOf } from "../http/tls.ts";
import type { Clock } from "../lib/clock.ts";
import { failure, type OnlineFinding } from "./check-finding.ts";

/** Certificates of 90 days are renewed with 30 to go: one that is not by now will not be. */
const shortMs = 14 * 24 * 3_600_000;

const dayMs = 24 * 3_600_000;

/** One finding for each certificate that is in use. */
export async function checkCertificates(config: Config, clock: Clock): Promise<readonly OnlineFinding[]> {
  const now = clock();
  const pairs = [
    ...(["streaming", "webhook"] as const)
      .filter((receiver) => config[receiver].enabled)
      .map((receiver) => ({ key: `${receiver}.tls`, tls: config[receiver].tls, address: config[receiver].public_url })),
    { key: "otlp.tls", tls: config.otlp.tls, address: "" },
  ];
  const findings = await Promise.all(pairs.map((pair) => checkPair(pair, now)));
  const { ca_file: caFile } = config.otlp.tls;
  return [...findings.flat(), ...(caFile === "" ? [] : [checkAuthority(caFile, now)])];
}

interface ConfiguredPair {
  readonly key: string;
  readonly tls: { readonly cert_file: string; readonly key_file: string };
  /** Where it is called from outside; empty where that is not known. */
  readonly address: string;
}

async function checkPair({ key, tls, address }: ConfiguredPair, now: number): Promise<readonly OnlineFinding[]> {
  const files = tlsFilesOf(tls);
  if (files === undefined) return [];
  try {
    return [judge(key, await readKeyPair(files, now), address, now)];
  } catch (error) {
    return [
      {
        ...failure(key, error),
        remedy: `Renew it, and let ${key}.cert_file and ${key}.key_file name the certificate with its chain and its key.`,
      },
    ];
  }
}

function judge(subject: string, { certificate, notAfter }: KeyPair, address: string, now: number): OnlineFinding {
  const until = `valid until ${new Date(notAfter).toISOString().slice(0, 10)}`;
  const host = address === "" ? undefined : new URL(address).hostname;
  const isForHost = host === undefined || covers(new X509Certificate(certificate), host);
  if (!isForHost) {
    return {
      subject,
      outcome: "warning",
      detail: `${until}, and not for ${host}, the host of the public address`,
      remedy: "Nothing to do where a proxy with a certificate of its own stands before it; else get one for that name.",
    };
  }
  if (notAfter - now >= shortMs) return { subject, outcome: "ok", detail: until };
  const days = Math.floor((notAfter - now) / dayMs);
  return {
    subject,
    outcome: "warning",
    detail: `${until}: ${days} ${days === 1 ? "day is" : "days are"} left`,
    remedy: "Renew it; it is read again when the files change.",
  };
}

function covers(certificate: X509Certificate, host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  return (isIP(bare) === 0 ? certificate.checkHost(bare) : certificate.checkIP(bare)) !== undefined;
}

function checkAuthority(file: string, now: number): OnlineFinding {
  const subject = "otlp.tls.ca_file";
  try {
    const { validTo } = new X509Certificate(readFileSync(file));
    if (Date.parse(validTo) > now) return { subject, outcome: "ok", detail: `valid until ${validTo}` };
    return { subject, outcome: "failed", detail: `it has expired (${validTo})`, remedy: "Give the one in use today." };
  } catch {
    return {
      subject,
      outcome: "failed",
      detail: `${file} holds no certificate in PEM form`,
      remedy: "Give the certificate of the authority that signed the backend's, as PEM.",
    };
  }
}
