/** Tests backends that close connections or speak only HTTP/2, over real sockets with the runtime's own `fetch`. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Answer } from "../../src/export/answer.ts";
import type { Fetch } from "../../src/export/sender.ts";
import { freePort } from "../support/port.ts";
import { destinationAt, senderTo, type TestSender } from "./settings.ts";

const folder = join(import.meta.dirname, "../support/tls");
const pair = {
  cert: readFileSync(join(folder, "first.cert.pem")),
  key: readFileSync(join(folder, "first.key.pem")),
};
const body = new TextEncoder().encode('{"resourceLogs":[]}');

let server: Server | undefined;
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server?.close();
});

async function listen(made: Server): Promise<number> {
  server = made;
  for (const event of ["connection", "secureConnection"]) made.on(event, (socket: Socket) => sockets.add(socket));
  const port = await freePort();
  await new Promise<void>((resolve) => made.listen(port, "127.0.0.1", resolve));
  return port;
}

interface Posting extends Pick<TestSender, "outcomes"> {
  readonly post: () => Promise<Answer>;
  /** The protocol that `fetch` was asked to use, for each request. */
  readonly asked: (string | undefined)[];
}

function postingTo(url: string): Posting {
  const asked: (string | undefined)[] = [];
  const noting: Fetch = (address, init) => {
    asked.push(init.protocol);
    return fetch(address, init as RequestInit);
  };
  const sender = senderTo(destinationAt(url, { tls: { insecureSkipVerify: true } }), { fetch: noting });
  return { post: () => sender.post(body, "json"), asked, outcomes: sender.outcomes };
}

test("uses HTTP/2 from the first request on for a backend that speaks only HTTP/2", async () => {
  const versions: string[] = [];
  const port = await listen(
    createSecureServer({ ...pair, allowHTTP1: false }, (request, response) => {
      versions.push(request.httpVersion);
      request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
    }),
  );
  const { post, asked, outcomes } = postingTo(`https://127.0.0.1:${port}`);
  for (let time = 0; time < 3; time++) expect(await post()).toEqual({ kind: "accepted" });
  expect(versions).toEqual(["2.0", "2.0", "2.0"]);
  expect(asked).toEqual([undefined, "http2", "http2", "http2"]);
  expect(outcomes).toEqual(["success", "success", "success"]);
});

test("returns to HTTP/1.1 for a backend that speaks it after all", async () => {
  const port = await listen(
    createSecureServer({ ...pair, allowHTTP1: false }, (request, response) => {
      request.resume().on("end", () => response.writeHead(200).end());
    }),
  );
  const { post, asked } = postingTo(`https://127.0.0.1:${port}`);
  await post();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server?.close(resolve));
  const again = createHttpsServer(pair, (request, response) => {
    request.resume().on("end", () => response.writeHead(200).end());
  });
  server = again;
  await new Promise<void>((resolve) => again.listen(port, "127.0.0.1", resolve));
  asked.length = 0;
  while ((await post()).kind !== "accepted");
  expect(await post()).toEqual({ kind: "accepted" });
  expect(asked.at(-1)).toBeUndefined();
});

test("reports the first failure if the handshake fails in both protocols, and tries HTTP/1.1 first the next time", async () => {
  const port = await listen(createTcpServer((socket) => socket.on("error", () => {}).end("no TLS here\r\n")));
  const { post, asked, outcomes } = postingTo(`https://127.0.0.1:${port}`);
  for (let time = 0; time < 2; time++) {
    const answer = await post();
    expect(answer.kind).toBe("failed");
    expect(answer.kind === "failed" && answer.why).toEndWith(`TLS handshake with 127.0.0.1:${port} failed (EPROTO)`);
  }
  expect(asked).toEqual([undefined, "http2", undefined, "http2"]);
  expect(outcomes).toEqual(["retry", "retry"]);
});

const taken = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/** Calls back for each request of each connection, counted from 1. */
function answering(answer: (socket: Socket, nth: number) => void): Server {
  return createTcpServer((socket) => {
    let nth = 0;
    socket.on("error", () => {}).on("data", () => answer(socket, ++nth));
  });
}

test("resends a request whose kept-alive connection is reset", async () => {
  const port = await listen(
    answering((socket, nth) => void (nth === 1 ? socket.write(taken) : socket.resetAndDestroy())),
  );
  const { post, asked, outcomes } = postingTo(`http://127.0.0.1:${port}`);
  for (let time = 0; time < 6; time++) expect(await post()).toEqual({ kind: "accepted" });
  expect(outcomes).toHaveLength(6);
  expect(asked.length).toBeGreaterThan(6);
});

test("tolerates connections that end after every answer, announced or not", async () => {
  for (const head of [taken, taken.replace("content-length", "connection: close\r\ncontent-length")]) {
    const port = await listen(answering((socket) => void socket.end(head)));
    const { post } = postingTo(`http://127.0.0.1:${port}`);
    for (let time = 0; time < 6; time++) expect(await post()).toEqual({ kind: "accepted" });
    server?.close();
  }
});

test("resends once if a backend that has answered begins to reset every request, and then sends once per try", async () => {
  let isWell = true;
  const port = await listen(answering((socket) => void (isWell ? socket.write(taken) : socket.resetAndDestroy())));
  const { post, asked, outcomes } = postingTo(`http://127.0.0.1:${port}`);
  await post();
  isWell = false;
  for (let time = 0; time < 3; time++) expect(await post()).toMatchObject({ kind: "failed", cause: "reset" });
  expect(asked).toHaveLength(5);
  expect(outcomes).toEqual(["success", "retry", "retry", "retry"]);
});
