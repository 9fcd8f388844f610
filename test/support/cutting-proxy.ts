/** A TCP proxy on loopback that cuts connections at any byte, stalls them, or refuses them, as networks and firewalls do. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "./port.ts";
import { randomBelow } from "./random.ts";
import { until } from "./wait.ts";

export type Direction = "to server" | "to client";

export interface CuttingProxy {
  readonly port: number;
  /** Number of open connections. */
  readonly connections: number;
  /** Number of connections cut so far. */
  readonly cuts: number;
  /** Cuts every open and later connection after exactly this many more bytes in that direction. */
  cutAfter(bytes: number, direction: Direction): void;
  /** Like `cutAfter`, with a random direction and number of bytes (0 to `most`) for each connection, reproducible by seed. */
  cutAtRandom(seed: number, most: number): void;
  /** Cuts every open connection now. */
  cut(): void;
  /** Connections stay open and new ones are accepted, but no data passes until `pass`. */
  hold(): void;
  /** Stops listening until `pass`; open connections stay open. */
  refuse(): Promise<void>;
  /** Data passes again, and no more connections are cut. */
  pass(): Promise<void>;
  end(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** When to cut it. */
  limit: Limit | undefined;
}

interface Limit {
  readonly direction: Direction;
  bytes: number;
}

/** Starts a proxy in front of a loopback port. */
export async function startCuttingProxy(target: number): Promise<CuttingProxy> {
  const links = new Set<Link>();
  let limitOfNext: () => Limit | undefined = () => undefined;
  let isHolding = false;
  let cuts = 0;

  function cut(link: Link): void {
    if (!links.delete(link)) return;
    cuts++;
    link.client.destroy();
    link.server.destroy();
  }

  function accept(client: Socket): void {
    const server = connect(target, "127.0.0.1");
    const link: Link = { client, server, limit: limitOfNext() };
    links.add(link);
    forward(link, "to server");
    forward(link, "to client");
    if (link.limit?.bytes === 0) cut(link);
  }

  function forward(link: Link, direction: Direction): void {
    const [from, to] = direction === "to server" ? [link.client, link.server] : [link.server, link.client];
    from.setNoDelay(true);
    if (isHolding) from.pause();
    from.on("data", (data: Buffer) => {
      const { limit } = link;
      const isLast = limit?.direction === direction && limit.bytes <= data.length;
      const passing = isLast ? data.subarray(0, limit.bytes) : data;
      if (limit?.direction === direction) limit.bytes -= passing.length;
      if (isLast) {
        // The bytes let through must arrive, so the connection is cut only after they are written.
        from.pause();
        to.write(passing, () => cut(link));
        return;
      }
      if (!to.write(passing)) from.pause();
    });
    to.on("drain", () => {
      if (!isHolding) from.resume();
    });
    from.on("end", () => to.end());
    from.on("error", () => undefined);
    from.on("close", () => {
      links.delete(link);
      to.destroySoon();
    });
  }

  function limitAll(limit: () => Limit | undefined): void {
    limitOfNext = limit;
    for (const link of links) {
      link.limit = limit();
      if (link.limit?.bytes === 0) cut(link);
    }
  }

  // Not an ephemeral port, because the system could give that to another program while this one refuses.
  const port = await freePort();
  let listener: Server | undefined;

  async function listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, accept);
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", () => done()));
    listener = server;
  }

  async function refuse(): Promise<void> {
    // The callback of `close` would wait for open connections.
    listener?.close();
    listener = undefined;
    await until(async () => !(await isListening(port)));
  }

  await listen();
  return {
    port,
    get connections() {
      return links.size;
    },
    get cuts() {
      return cuts;
    },
    cutAfter: (bytes, direction) => limitAll(() => ({ bytes, direction })),
    cutAtRandom(seed, most) {
      const below = randomBelow(seed);
      limitAll(() => ({ direction: below(2) === 0 ? "to server" : "to client", bytes: below(most + 1) }));
    },
    cut: () => links.forEach(cut),
    hold() {
      isHolding = true;
      for (const { client, server: far } of links) for (const socket of [client, far]) socket.pause();
    },
    refuse,
    async pass() {
      limitAll(() => undefined);
      isHolding = false;
      for (const { client, server: far } of links) for (const socket of [client, far]) socket.resume();
      if (listener === undefined) await listen();
    },
    async end() {
      links.forEach(cut);
      await refuse();
    },
  };
}

/** True if a connection to the loopback port is accepted. */
export function isListening(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  }).then((is) => {
    socket.destroy();
    return is as boolean;
  });
}
