/** The stand-in's listener: reads complete requests, routes them, and writes responses with any injected fault. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../../src/lib/clock.ts";
import { type ApiAnswer, ApiRefusal, type ApiRequest, refused } from "./answer.ts";
import { type Faults, write } from "./faults.ts";

/** A request and the status of its response. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** 0 if no response was sent. */
  readonly status: number;
}

export interface ApiServer {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  stop(): Promise<void>;
}

const maxRequestsKept = 10_000;

export async function startApiServer(options: {
  readonly clock: Clock;
  readonly faults: Faults;
  /** @throws {ApiRefusal} */
  readonly handle: (request: ApiRequest) => ApiAnswer;
}): Promise<ApiServer> {
  const requests: SeenRequest[] = [];
  const server = createServer((incoming, response) => {
    void (async () => {
      const request = await requestOf(incoming);
      const effect = options.faults.take(request);
      const answer = effect?.kind === "status" ? instead(effect) : answerOf(request, options.handle);
      const { method, path, headers, body } = request;
      const query = Object.fromEntries(request.query);
      const status = effect?.kind === "hang" || effect?.kind === "reset" ? 0 : answer.status;
      requests.push({ method, path, query, headers, body: body.toString("utf8"), status });
      if (requests.length > maxRequestsKept) requests.shift();
      response.setHeader("date", new Date(options.clock()).toUTCString());
      await write(response, answer, effect);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answerOf(request: ApiRequest, handle: (request: ApiRequest) => ApiAnswer): ApiAnswer {
  try {
    return handle(request);
  } catch (error) {
    return refused(error instanceof ApiRefusal ? error : new ApiRefusal(500, `the stand-in failed: ${String(error)}`));
  }
}

function instead(effect: {
  readonly status: number;
  readonly message?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}): ApiAnswer {
  const answer = refused(new ApiRefusal(effect.status, effect.message ?? "injected", effect.headers));
  return effect.body === undefined ? answer : { ...answer, body: [effect.body] };
}

async function requestOf(incoming: IncomingMessage): Promise<ApiRequest> {
  const url = new URL(incoming.url ?? "/", "http://localhost");
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) headers[name] = String(value);
  return {
    method: incoming.method ?? "",
    path: url.pathname,
    parts: url.pathname.startsWith("/api/v2/")
      ? url.pathname.slice("/api/v2/".length).split("/").map(decodeURIComponent)
      : [],
    query: url.searchParams,
    headers,
    body: Buffer.concat(chunks),
  };
}
