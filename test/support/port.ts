/** Ports for programs that cannot listen on port 0. */
import { createServer } from "node:net";

/**
 * Below the ephemeral ports (32768 and up on Linux, 49152 and up elsewhere), one of which could be assigned between the check
 * and the use, or while a program restarts.
 */
const firstPort = 20_000;
const ports = 12_000;

/** Each process starts at a random port and continues from there. */
let next = Math.floor(Math.random() * ports);

/** A free loopback port, different at each call. */
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
