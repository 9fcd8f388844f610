/** Faults to inject between the stand-in and its client, on demand and by call. */
import type { ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { ApiAnswer, ApiRequest } from "./answer.ts";

/** A fault for matching calls. Of several matching faults, the first one added is used. */
export interface Fault {
  /** Only calls with this method. */
  readonly method?: string;
  /** Only calls whose path (`/api/v2/…`, without the query) matches. */
  readonly path?: RegExp;
  /** Number of calls; default: 1. */
  readonly times?: number;
  readonly effect: Effect;
}

export type Effect =
  /** This response instead, with a `{"message": …}` body by default. The call has no effect. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly message?: string;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The normal response, delayed. */
  | { readonly kind: "slow"; readonly ms: number }
  /** The first bytes of the normal response, then the connection breaks. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** The first bytes of the normal response, ended as if it were complete. */
  | { readonly kind: "torn"; readonly afterBytes: number }
  /** The normal response, one byte per interval. */
  | { readonly kind: "drip"; readonly everyMs: number }
  /** No response at all. */
  | { readonly kind: "hang" }
  /** The connection is closed without a response. */
  | { readonly kind: "reset" };

export interface Faults {
  add(fault: Fault): void;
  /** Removes all remaining faults. */
  clear(): void;
  /** The fault for this call, if one matches; it counts as used. */
  take(request: ApiRequest): Effect | undefined;
}

export function createFaults(): Faults {
  let pending: { fault: Fault; left: number }[] = [];
  return {
    add(fault) {
      pending.push({ fault, left: fault.times ?? 1 });
    },
    clear() {
      pending = [];
    },
    take({ method, path }) {
      const found = pending.find(
        ({ fault }) => (fault.method ?? method) === method && (fault.path === undefined || fault.path.test(path)),
      );
      if (found === undefined) return undefined;
      found.left--;
      pending = pending.filter(({ left }) => left > 0);
      return found.fault.effect;
    },
  };
}

/** Writes a response, complete or with its fault. Resolves when nothing more will be written. */
export async function write(response: ServerResponse, answer: ApiAnswer, effect: Effect | undefined): Promise<void> {
  if (effect?.kind === "hang") return;
  if (effect?.kind === "reset") return void response.socket?.destroy();
  if (effect?.kind === "slow") await wait(effect.ms);
  response.writeHead(answer.status, { ...answer.headers });
  switch (effect?.kind) {
    case "cut":
    case "torn": {
      const text = Buffer.from([...(answer.body ?? [])].join(""));
      response.write(text.subarray(0, effect.afterBytes));
      if (effect.kind === "torn") return void response.end();
      await new Promise<void>((resolve) => response.write("", () => resolve()));
      response.socket?.destroy();
      return;
    }
    case "drip": {
      const text = Buffer.from([...(answer.body ?? [])].join(""));
      for (let at = 0; at < text.length && !response.destroyed; at++) {
        response.write(text.subarray(at, at + 1));
        await wait(effect.everyMs);
      }
      return void response.end();
    }
    default:
      return writeAll(response, answer.body ?? []);
  }
}

/** Approximate number of characters written at a time. */
const pieceCharacters = 65_536;

/** Generates the text only as fast as it is read, so that a huge response is never held in memory. */
async function writeAll(response: ServerResponse, body: Iterable<string>): Promise<void> {
  let piece = "";
  for (const text of body) {
    piece += text;
    if (piece.length < pieceCharacters) continue;
    const hasRoom = response.write(piece);
    piece = "";
    if (!hasRoom) await roomIn(response);
    if (response.destroyed) return;
  }
  response.end(piece);
}

/** Resolves when more may be written, or the reader is gone. */
function roomIn(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
