/** The open connections of one listener: how many there may be, and when an idle or stuck one is closed. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { ConnectionState } from "./exchange.ts";

export interface Connection extends ConnectionState {
  /** Requests that are not answered to the last byte. */
  requests: number;
  /** Resolvers of pipelined requests that wait for the requests before them, in order. */
  readonly pipelined: (() => void)[];
  /** When the answer to the last of them was written (`performance.now()`), while it is being sent. */
  answeredMs: number | undefined;
}

export interface Connections {
  /** Nothing if the connection was refused and closed. */
  open(socket: Socket): Connection | undefined;
  of(socket: Socket): Connection | undefined;
  begin(socket: Socket): void;
  /** Its answer is sent to the last byte, or never will be. */
  end(socket: Socket): void;
  /** Requests that are being answered, on all of them. */
  readonly requests: number;
  /** Closes what has no request. */
  closeIdle(): void;
  closeAll(): void;
}

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** A connection between two requests is closed after so long: longer than HTTP clients keep idle ones. */
  readonly idleMs: number;
  /** Time to send the head of a request. */
  readonly headMs: number;
  /** Time for a client to read an answer. */
  readonly answerMs: number;
}

export const connectionLimits: ConnectionLimits = {
  get maxConnections() {
    return connectionsOf(openFilesLimit());
  },
  idleMs: 120_000,
  headMs: 12_000,
  answerMs: 60_000,
};

/** Requests that a client may send ahead of their answers: one read can hold a thousand, at 10 KB of memory each. */
export const maxPipelined = 100;

interface Tracked extends Connection {
  /** Since when it has been waiting for a request, or for the rest of its head. */
  sinceMs: number;
  isBetweenRequests: boolean;
  /** Received up to the end of the last request. */
  bytesRead: number;
}

export function createConnections(limits: ConnectionLimits): Connections {
  const { maxConnections, idleMs, headMs, answerMs } = limits;
  const sweepMs = Math.min(1000, headMs / 2, idleMs / 2);
  const open = new Map<Socket, Tracked>();
  let timer: ReturnType<typeof setInterval> | undefined;

  /** Makes room for a new connection: the one that has been idle longest gives way. */
  function evict(): boolean {
    let idlest: readonly [Socket, Tracked] | undefined;
    for (const one of open)
      if (one[1].requests === 0 && (idlest === undefined || one[1].sinceMs < idlest[1].sinceMs)) idlest = one;
    if (idlest !== undefined) close(idlest[0]);
    return idlest !== undefined;
  }

  function close(socket: Socket): void {
    forget(socket);
    socket.destroy();
  }

  function forget(socket: Socket): void {
    open.delete(socket);
    if (open.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function sweep(): void {
    const now = performance.now();
    for (const [socket, connection] of open) if (isOverdue(socket, connection, now)) close(socket);
  }

  return {
    open(socket) {
      const known = open.get(socket);
      if (known !== undefined) return known;
      socket.on("error", () => {});
      if (open.size >= maxConnections && !evict()) {
        socket.destroy();
        return undefined;
      }
      const peer = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
      const connection: Tracked = {
        peer,
        isMalformed: false,
        requests: 0,
        pipelined: [],
        answeredMs: undefined,
        sinceMs: performance.now(),
        isBetweenRequests: false,
        bytesRead: 0,
      };
      open.set(socket, connection);
      timer ??= setInterval(sweep, sweepMs);
      socket.once("close", () => forget(socket));
      return connection;
    },
    of: (socket) => open.get(socket),
    begin(socket) {
      const connection = open.get(socket);
      if (connection === undefined) return;
      connection.requests++;
      // A client that pipelines without reading answers is read no further until it does.
      if (connection.requests > 1) socket.pause();
      if (connection.requests > maxPipelined) close(socket);
    },
    end(socket) {
      const connection = open.get(socket);
      if (connection === undefined) return;
      connection.requests--;
      connection.pipelined.shift()?.();
      if (connection.requests === 1) socket.resume();
      connection.answeredMs = undefined;
      connection.sinceMs = performance.now();
      connection.isBetweenRequests = true;
      connection.bytesRead = socket.bytesRead;
    },
    get requests() {
      let requests = 0;
      for (const connection of open.values()) requests += connection.requests;
      return requests;
    },
    closeIdle() {
      for (const [socket, { requests }] of open) if (requests === 0) close(socket);
    },
    closeAll() {
      for (const socket of open.keys()) close(socket);
    },
  };

  function isOverdue(socket: Socket, connection: Tracked, now: number): boolean {
    const { answeredMs } = connection;
    if (connection.requests > 0) return answeredMs !== undefined && now - answeredMs > answerMs;
    const isHeadBegun = connection.isBetweenRequests && socket.bytesRead > connection.bytesRead;
    if (isHeadBegun) {
      connection.isBetweenRequests = false;
      connection.sinceMs = now;
    }
    return now - connection.sinceMs > (connection.isBetweenRequests ? idleMs : headMs);
  }
}

/** Descriptors left for the journal and the exporter. Past the limit of the system, accepting would fail for ever. */
const reservedDescriptors = 128;

function connectionsOf(limit: number): number {
  return Math.max(16, limit - Math.min(reservedDescriptors, limit / 2));
}

function openFilesLimit(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? defaultLimit);
  } catch {
    return defaultLimit;
  }
}

/** Of systems that do not say: macOS allows 10,240 a process. */
const defaultLimit = 10_240;
