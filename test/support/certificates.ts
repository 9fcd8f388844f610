/** Certificates made with the openssl command, as an operator would make them. */
import { spawnSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  /** For `--cacert`. */
  readonly file: string;
  /** Issues a certificate and its key, by default for 127.0.0.1 and localhost. `name`: its common name. */
  issue(name: string, names?: string): IssuedPair;
}

export interface IssuedPair {
  readonly certificate: string;
  readonly key: string;
}

export function createAuthority(directory: string): Authority {
  const file = join(directory, "ca.pem");
  const key = join(directory, "ca.key");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(["req", "-x509", ...curve, "-keyout", key, "-out", file, "-days", "2", "-subj", "/CN=Test authority"]);
  return {
    file,
    issue(name, names = "IP:127.0.0.1,DNS:localhost,DNS:node.tail1234.ts.net") {
      const own = join(directory, `${name}.key.pem`);
      const request = join(directory, `${name}.csr`);
      const extensions = join(directory, "extensions");
      writeFileSync(extensions, `subjectAltName=${names}\n`);
      openssl(["req", ...curve, "-keyout", own, "-out", request, "-subj", `/CN=${name}`]);
      const signer = ["-CA", file, "-CAkey", key, "-CAcreateserial", "-days", "2", "-extfile", extensions];
      const certificate = openssl(["x509", "-req", "-in", request, ...signer]);
      return { certificate, key: openssl(["pkey", "-in", own]) };
    },
  };
}

/** Replaces both files one after the other, each atomically, as `tailscale cert` does. */
export function install(
  { certificate, key }: IssuedPair,
  files: { readonly cert: string; readonly key: string },
): void {
  for (const [file, text] of [
    [files.cert, certificate],
    [files.key, key],
  ] as const) {
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

/** Returns its standard output. */
function openssl(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
  return stdout;
}
