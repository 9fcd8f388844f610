/** `otlp.protocol = "stdout"`: each request as one line of OTLP JSON on standard output, for pipes. */
import { writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Sender } from "./sender.ts";

/** `fs.writeSync` for one descriptor: how many bytes it took. */
export type Write = (bytes: Uint8Array) => number;

const standardOutput: Write = (bytes) => writeSync(1, bytes);

const newline = 0x0a;

/** A full pipe is tried again after this long. */
const fullPipeDelayMs = 10;

/**
 * A sender that writes lines. Lines never mix: one is written to its end before the next begins. A pipe that is full is
 * waited for; `onClosed` is called once when its reader is gone, and nothing is taken from then on.
 */
export function createStdoutSender(onClosed: () => void, write: Write = standardOutput): Sender {
  let last: Promise<unknown> = Promise.resolve();
  let isClosed = false;

  async function writeLine(line: Uint8Array, stop: AbortSignal): Promise<boolean> {
    let written = 0;
    while (written < line.length) {
      if (isClosed || (stop.aborted && written === 0)) return false;
      try {
        written += write(line.subarray(written));
      } catch (error) {
        const code = (error as { code?: unknown }).code;
        if (code === "EAGAIN") {
          await delay(fullPipeDelayMs);
          continue;
        }
        if (code !== "EPIPE") throw error;
        if (!isClosed) onClosed();
        isClosed = true;
      }
    }
    return true;
  }

  return async (body, _encoding, stop) => {
    const line = new Uint8Array(body.length + 1);
    line.set(body);
    line[body.length] = newline;
    const mine = last.then(() => writeLine(line, stop));
    last = mine.catch(() => undefined);
    try {
      if (await mine) return { kind: "taken" };
      return { kind: "retry", why: isClosed ? "standard output is closed" : "stopped" };
    } catch (error) {
      return { kind: "retry", why: `standard output: ${error instanceof Error ? error.message : String(error)}` };
    }
  };
}
