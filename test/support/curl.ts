/** Sends a body with curl, a client that shares no code with the program. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface CurlRequest {
  readonly url: string;
  readonly token: string;
  readonly body: Uint8Array;
  /** The `Content-Encoding`; none if absent. */
  readonly encoding?: "zstd" | "gzip";
}

export interface CurlAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Blocks until the response arrives. @throws {Error} if there is none. */
export function curl({ url, token, body, encoding }: CurlRequest): CurlAnswer {
  const directory = mkdtempSync(join(tmpdir(), "curl-"));
  const bodyPath = join(directory, "body");
  const headers = [
    `Authorization: Splunk ${token}`,
    ...(encoding === undefined ? [] : [`Content-Encoding: ${encoding}`]),
  ];
  try {
    writeFileSync(bodyPath, body);
    const flags = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--write-out", "\n%{http_code}"];
    for (const header of headers) flags.push("--header", header);
    const { status, stdout, stderr } = spawnSync("curl", [...flags, "--data-binary", `@${bodyPath}`, url], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`curl: ${stderr}`);
    const end = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(end + 1)), body: JSON.parse(stdout.slice(0, end)) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
