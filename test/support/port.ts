/** Ports for programs that cannot be given port 0. */
import { createServer } from "node:net";

/**
 * Below the ports that systems give to port 0 and to outgoing connections (32768 and up on Linux, 49152 and up elsewhere):
 * one of those could be given away between the look and the use, or while a program restarts.
 */
const firstPort = 20_000;
const ports = 12_000;

/** Goes through them from a place of its own in each process. */
let next = Math.floor(Math.random() * ports);

/** A port of the loopback address that nobody uses at this moment, another one at each call. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < ports; tried++) {
    const port = firstPort + (next++ % ports);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${firstPort} to ${firstPort + ports - 1} is free`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
