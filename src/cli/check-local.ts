/** `check --online`, this machine: the certificates and the journal; and what a finding is. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Config } from "../config/index.ts";
import { inspectJournal } from "../journal/index.ts";
import { fileErrorReason } from "../lib/file-error.ts";
import { formatBytes } from "../lib/units.ts";
import { TailscaleError } from "../tailscale/index.ts";

/** One finding of `check --online`. */
export interface OnlineFinding {
  /** What was checked: a word or two. */
  readonly subject: string;
  /** `skipped`: nothing that is in use depends on it, or another finding kept it from being checked. */
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found, without a full stop. */
  readonly detail: string;
  /** What to do: sentences. */
  readonly remedy?: string;
}

/** A finding from a thrown error. */
export function failure(subject: string, error: unknown): OnlineFinding {
  const detail = error instanceof Error ? error.message : String(error);
  const failed = { subject, outcome: "failed", detail } as const;
  return error instanceof TailscaleError ? { ...failed, remedy: error.remedy } : failed;
}

interface StateOnly {
  readonly state: Pick<Config["state"], "path">;
}

/** Looks at the state directory without opening, locking or creating anything. */
export function checkJournal({ state: { path } }: StateOnly): OnlineFinding & { readonly kind: string } {
  const found = inspectJournal(path);
  const finding = (outcome: OnlineFinding["outcome"], detail: string, remedy?: string) => ({
    subject: "journal",
    kind: found.kind,
    outcome,
    detail,
    ...(remedy === undefined ? {} : { remedy }),
  });
  switch (found.kind) {
    case "memory":
      return finding("ok", "in memory: nothing survives a restart");
    case "new":
      return finding("ok", `it will be created in ${path}`);
    case "ready":
      return finding("ok", `${formatBytes(found.bytes)} in ${path}`);
    case "in_use":
      return finding("ok", `${path} is in use by a running instance`);
    case "damaged": {
      const remedy = "Start the service: it moves the files to a folder beside it and recovers what can be read.";
      return finding("warning", `the journal in ${path} is damaged: ${found.reason}`, remedy);
    }
    case "newer": {
      const detail = `the journal in ${path} was written by a newer version (schema ${found.schema})`;
      return finding("failed", detail, "Install that version or a later one.");
    }
    case "unusable":
      return finding("failed", `cannot use the state directory: ${found.reason}`, found.remedy);
  }
}

/** One finding for each certificate that is in use, at `now` (epoch milliseconds). That keys fit is part of `check` itself. */
export function checkCertificates({ streaming, webhook, otlp }: Config, now: number): readonly OnlineFinding[] {
  const renew = "Renew it; changed files are read without a restart.";
  const authority = "Set it to the certificate of the authority that signed the backend's, in PEM form.";
  const certificates = [
    streaming.enabled && { subject: "streaming.tls", file: streaming.tls.cert_file, url: streaming.public_url },
    webhook.enabled && { subject: "webhook.tls", file: webhook.tls.cert_file, url: webhook.public_url },
    { subject: "otlp.tls", file: otlp.tls.cert_file },
    { subject: "otlp.tls.ca_file", file: otlp.tls.ca_file, remedy: authority },
  ];
  return certificates.flatMap((one) =>
    one === false || one.file === "" ? [] : [checkCertificate({ url: "", remedy: renew, ...one }, now)],
  );
}

interface Certificate {
  readonly subject: string;
  readonly file: string;
  /** By which senders reach the receiver, if it is a receiver's. */
  readonly url: string;
  readonly remedy: string;
}

const dayMs = 24 * 3_600_000;

/** Certificates of 90 days are renewed with 30 to go: one that has not been by now will not be. */
const shortMs = 14 * dayMs;

function checkCertificate({ subject, file, url, remedy }: Certificate, now: number): OnlineFinding {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(readFileSync(file));
  } catch (error) {
    const reason = fileErrorReason(error);
    const detail = reason === undefined ? `${file} is not a certificate in PEM form` : `cannot read ${file}: ${reason}`;
    return { subject, outcome: "failed", detail, remedy };
  }
  const leftMs = Date.parse(certificate.validTo) - now;
  if (leftMs <= 0) return { subject, outcome: "failed", detail: `it has expired (${certificate.validTo})`, remedy };
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
