import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectionError } from "../../src/lib/system-error.ts";
import { createAuthority } from "../support/certificates.ts";

async function sentenceFor(url: string): Promise<string> {
  const { host } = new URL(url);
  return fetch(url)
    .then((response) => response.text())
    .then(
      () => "answered",
      (error: unknown) => connectionError(error, host).replaceAll(host, "HOST"),
    );
}

async function listening(answer: string, request: (port: number) => Promise<void>): Promise<void> {
  const server = createServer((socket) => socket.on("error", () => {}).on("data", () => socket.end(answer)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await request((server.address() as { readonly port: number }).port);
  server.close();
}

test("explains in a short sentence why a request failed, without the runtime's words", async () => {
  expect(await sentenceFor("http://127.0.0.1:1/")).toBe("connection refused by HOST");
  expect(await sentenceFor("http://nosuch.invalid:4318/")).toBe("host name not found: HOST");
  await listening("", async (port) => {
    expect(await sentenceFor(`http://127.0.0.1:${port}/`)).toBe("connection closed by HOST without an answer");
  });
  await listening("no TLS here\r\n", async (port) => {
    expect(await sentenceFor(`https://127.0.0.1:${port}/`)).toBe("TLS handshake with HOST failed (EPROTO)");
  });
  await listening("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnone", async (port) => {
    expect(await sentenceFor(`http://127.0.0.1:${port}/`)).toBe("compressed answer of HOST is damaged");
  });
});

test("reports an untrusted certificate, with the code of the reason", async () => {
  const directory = mkdtempSync(join(tmpdir(), "system-error-"));
  const { certificate, key } = createAuthority(directory).issue("localhost");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: certificate, key },
    fetch: () => new Response("ok"),
  });
  expect(await sentenceFor(`https://127.0.0.1:${server.port}/`)).toMatch(
    /^certificate of HOST is not trusted \(\w+\)$/,
  );
  await server.stop(true);
  rmSync(directory, { recursive: true });
});

test("an unknown error is named by its code only", () => {
  const error = Object.assign(new Error("pass `verbose: true` in the second argument to fetch()"), { code: "ENOBUFS" });
  expect(connectionError(error, "example.com:443")).toBe("request to example.com:443 failed (ENOBUFS)");
  expect(connectionError("what", "example.com:443")).toBe("request to example.com:443 failed");
});
