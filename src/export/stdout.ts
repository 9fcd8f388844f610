/**
 * `otlp.protocol = "stdout"`: each request as one line of OTLP JSON on standard output, for pipes.
 *
 * Lines never mix: one is written to its end before the next begins. A reader that does not read holds the lines, but not a
 * stop: the request of a line that the stop cuts off counts as failed, so that its log records stay pending in the journal.
 * The line itself goes on being written for as long as the process lives; only the last line of the output can be torn.
 */
import { write as writeTo } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Answer } from "./answer.ts";
import { type Sender, stopped } from "./sender.ts";

/** Writes the beginning of some bytes, and resolves with how many. It waits for the reader, perhaps for ever. */
export type Write = (bytes: Uint8Array) => Promise<number>;

/**
 * Creates the sender that writes lines. `onClosed` is called once when the reader is gone; nothing is taken from then on.
 */
export function createStdoutSender(onClosed: () => void, write: Write = standardOutput): Sender {
  let last: Promise<unknown> = Promise.resolve();
  let isClosed = false;

  async function writeLine(line: Uint8Array, stop: AbortSignal): Promise<Answer> {
    let written = 0;
    while (written < line.length) {
      if (isClosed) return closed;
      if (stop.aborted && written === 0) return stopped;
      try {
        written += await write(line.subarray(written));
      } catch (error) {
        const code = (error as { code?: unknown }).code;
        if (code === "EAGAIN") {
          await delay(fullPipeDelayMs);
          continue;
        }
        if (code !== "EPIPE") return failed(error);
        if (!isClosed) onClosed();
        isClosed = true;
      }
    }
    return { kind: "taken" };
  }

  return async (body, _encoding, stop) => {
    const line = new Uint8Array(body.length + 1);
    line.set(body);
    line[body.length] = newline;
    const { promise: cutOff, resolve } = Promise.withResolvers<Answer>();
    const cut = () => resolve(stopped);
    stop.addEventListener("abort", cut);
    if (stop.aborted) cut();
    const mine = last.then(() => writeLine(line, stop));
    last = mine;
    const answer = await Promise.race([mine, cutOff]);
    stop.removeEventListener("abort", cut);
    return answer;
  };
}

const closed: Answer = { kind: "failed", cause: "unreachable", why: "standard output is closed" };

function failed(error: unknown): Answer {
  const reason = error instanceof Error ? error.message : String(error);
  return { kind: "failed", cause: "unreachable", why: `standard output: ${reason}` };
}

const newline = 0x0a;

/** A full pipe that does not let its writer wait is tried again after this long. */
const fullPipeDelayMs = 10;

/** The system call waits in a thread of the runtime, so that the worker goes on hearing what it is told. */
const standardOutput: Write = (bytes) =>
  new Promise((resolve, reject) => {
    writeTo(1, bytes, 0, bytes.length, null, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
