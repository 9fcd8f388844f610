/** The demo's own OTLP backend, for those who have none: it counts nothing, keeps nothing, and refuses what no backend would take. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { unwelcome } from "./mishaps.ts";

export interface Backend {
  /** Base address. */
  readonly url: string;
  stop(): void;
}

/** Its bodies must not be compressed: it looks for a name in them. */
export async function startBackend(): Promise<Backend> {
  const server = createServer(async (request, response) => {
    const isRefused = (await bodyOf(request)).includes(unwelcome);
    response.writeHead(isRefused ? 400 : 200, { "content-type": "application/json" });
    response.end(isRefused ? JSON.stringify({ message: `log records of ${unwelcome} are refused here` }) : "{}");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
