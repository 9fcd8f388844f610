/** Computes signatures with Python's standard `hmac`, an implementation independent of the program. */
import { spawnSync } from "node:child_process";

export interface ToSign {
  readonly secret: string;
  readonly time: string;
  readonly body: string | Uint8Array;
}

const program = `
import base64, hashlib, hmac, json, sys
print(json.dumps([
    hmac.new(secret.encode(), time.encode() + b"." + base64.b64decode(body), hashlib.sha256).hexdigest()
    for secret, time, body in json.load(sys.stdin)
]))
`;

/** The HMAC-SHA256 of each, in hexadecimal. @throws {Error} without a `python3`. */
export function pythonSignatures(cases: readonly ToSign[]): readonly string[] {
  const input = JSON.stringify(
    cases.map(({ secret, time, body }) => [secret, time, Buffer.from(body).toString("base64")]),
  );
  const { status, stdout, stderr, error } = spawnSync("python3", ["-c", program], { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`python3: ${error?.message ?? stderr}`);
  return JSON.parse(stdout) as string[];
}
