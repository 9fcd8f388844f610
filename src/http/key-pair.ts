/** A TLS certificate and its key, read from files and found to belong together before anyone uses them. */
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConfigError } from "../errors.ts";

export interface TlsFiles {
  /** PEM: the certificate, then those that lead from it to a root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

/** From a `tls` section of the settings; nothing where both are empty. */
export function tlsFilesOf(tls: { readonly cert_file: string; readonly key_file: string }): TlsFiles | undefined {
  return tls.cert_file === "" ? undefined : { certFile: tls.cert_file, keyFile: tls.key_file };
}

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  /** Epoch milliseconds after which nobody trusts the certificate. */
  readonly notAfter: number;
  /** The same for the same files. */
  readonly digest: string;
}

/**
 * Reads both files and checks them: well formed, key of this certificate, valid at `now` (epoch milliseconds).
 * @throws {ConfigError} with one line that names the file.
 */
export async function readKeyPair({ certFile, keyFile }: TlsFiles, now: number): Promise<KeyPair> {
  const [certificate, key] = await Promise.all([readText(certFile), readText(keyFile)]);
  const leaf = parse(certFile, "certificate", () => new X509Certificate(certificate));
  const privateKey = parse(keyFile, "private key", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey))
    throw new ConfigError([`${keyFile} is not the key of the certificate in ${certFile}`]);
  const notAfter = Date.parse(leaf.validTo);
  if (now > notAfter) throw new ConfigError([`the certificate in ${certFile} has expired (${leaf.validTo})`]);
  if (now < Date.parse(leaf.validFrom))
    throw new ConfigError([`the certificate in ${certFile} is not valid before ${leaf.validFrom}`]);
  const digest = createHash("sha256").update(certificate).update("\0").update(key).digest("hex");
  return { certificate, key, notAfter, digest };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new ConfigError([`cannot read ${file} (${reason})`]);
  }
}

/** The parser's own message is left out: it may quote the key. */
function parse<Value>(file: string, what: string, read: () => Value): Value {
  try {
    return read();
  } catch {
    throw new ConfigError([`${file} holds no ${what} in PEM form that can be used without a passphrase`]);
  }
}
