/** The OTLP backend built into the demo, which accepts and discards everything but the log records that it is meant to refuse. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { unwelcome } from "./mishaps.ts";

/** Request bodies must be uncompressed, because they are searched for a name. */
export async function startBackend() {
  const server = createServer(async (request, response) => {
    const isRefused = (await buffer(request)).includes(unwelcome);
    response.writeHead(isRefused ? 400 : 200, { "content-type": "application/json" });
    response.end(isRefused ? JSON.stringify({ message: `log records of ${unwelcome} are refused here` }) : "{}");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  return {
    /** Base address. */
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop(): void {
      server.close();
      server.closeAllConnections();
    },
  };
}
