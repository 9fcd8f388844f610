/** OTLP as lines on standard output. */
import { describe, expect, test } from "bun:test";
import { createStdoutSender } from "../../src/export/stdout.ts";

const never = new AbortController().signal;
const bytes = (text: string) => new TextEncoder().encode(text);

/** A pipe that takes `room` bytes at a time and is full every second time. */
function pipe(room: number): { write: (chunk: Uint8Array) => number; text: () => string } {
  let text = "";
  let isFull = false;
  return {
    text: () => text,
    write(chunk) {
      isFull = !isFull;
      if (isFull) throw Object.assign(new Error("try again"), { code: "EAGAIN" });
      text += new TextDecoder().decode(chunk.subarray(0, room));
      return Math.min(room, chunk.length);
    },
  };
}

describe("lines", () => {
  test("never mix, however slow the pipe", async () => {
    const { write, text } = pipe(3);
    const send = createStdoutSender(() => undefined, write);
    const answers = await Promise.all(["first line", "second", "3"].map((line) => send(bytes(line), "json", never)));
    expect(answers).toEqual([{ kind: "taken" }, { kind: "taken" }, { kind: "taken" }]);
    expect(text()).toBe("first line\nsecond\n3\n");
  });

  test("one that was begun is written to its end after a stop; none is begun", async () => {
    const { write, text } = pipe(4);
    const send = createStdoutSender(() => undefined, write);
    const controller = new AbortController();
    const begun = send(bytes("begun line"), "json", controller.signal);
    const waiting = send(bytes("waiting"), "json", controller.signal);
    while (text() === "") await new Promise(setImmediate);
    controller.abort();
    expect(await begun).toEqual({ kind: "taken" });
    expect(await waiting).toEqual({ kind: "retry", why: "stopped" });
    expect(text()).toBe("begun line\n");
  });
});

describe("a reader that has gone", () => {
  test("is told once, and nothing is taken any more", async () => {
    let closed = 0;
    const send = createStdoutSender(
      () => closed++,
      () => {
        throw Object.assign(new Error("broken pipe"), { code: "EPIPE" });
      },
    );
    for (let i = 0; i < 3; i++)
      expect(await send(bytes("x"), "json", never)).toEqual({ kind: "retry", why: "standard output is closed" });
    expect(closed).toBe(1);
  });
});

test("any other fault is worth another try", async () => {
  const send = createStdoutSender(
    () => undefined,
    () => {
      throw Object.assign(new Error("disk full"), { code: "ENOSPC" });
    },
  );
  expect(await send(bytes("x"), "json", never)).toEqual({ kind: "retry", why: "standard output: disk full" });
});
