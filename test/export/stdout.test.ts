/** Tests OTLP as lines on standard output. */
import { describe, expect, test } from "bun:test";
import { createStdoutSender, type Write } from "../../src/export/sender.ts";

const never = new AbortController().signal;
const bytes = (text: string) => new TextEncoder().encode(text);

interface Pipe {
  readonly write: Write;
  text(): string;
}

/** A pipe that accepts `room` bytes at a time and is full every second time. */
function slowPipe(room: number): Pipe {
  let text = "";
  let isFull = false;
  return {
    text: () => text,
    async write(chunk) {
      isFull = !isFull;
      if (isFull) throw Object.assign(new Error("try again"), { code: "EAGAIN" });
      text += new TextDecoder().decode(chunk.subarray(0, room));
      return Math.min(room, chunk.length);
    },
  };
}

/** A pipe that accepts 4 bytes and then waits until its reader reads. */
function unreadPipe(): Pipe & { readonly isWaiting: Promise<void>; read(): void } {
  let text = "";
  const waiting = Promise.withResolvers<void>();
  const reading = Promise.withResolvers<void>();
  return {
    text: () => text,
    isWaiting: waiting.promise,
    read: reading.resolve,
    async write(chunk) {
      if (text.length === 4) {
        waiting.resolve();
        await reading.promise;
      }
      const room = text.length === 0 ? 4 : chunk.length;
      text += new TextDecoder().decode(chunk.subarray(0, room));
      return Math.min(room, chunk.length);
    },
  };
}

function failing(code: string, message: string): Write {
  return async () => {
    throw Object.assign(new Error(message), { code });
  };
}

describe("lines", () => {
  test("never mix, however slow the pipe", async () => {
    const { write, text } = slowPipe(3);
    const send = createStdoutSender(() => undefined, write);
    const answers = await Promise.all(["first line", "second", "3"].map((line) => send(bytes(line), "json", never)));
    expect(answers).toEqual([{ kind: "accepted" }, { kind: "accepted" }, { kind: "accepted" }]);
    expect(text()).toBe("first line\nsecond\n3\n");
  });

  test("a body may be reused once the call has returned", async () => {
    const { write, text } = slowPipe(3);
    const body = bytes("first line");
    const answer = createStdoutSender(() => undefined, write)(body, "json", never);
    body.fill(0);
    await answer;
    expect(text()).toBe("first line\n");
  });
});

describe("a reader that does not read", () => {
  test("does not delay a stop: begun and waiting lines fail, and no other begins afterwards", async () => {
    const pipe = unreadPipe();
    const send = createStdoutSender(() => undefined, pipe.write);
    const controller = new AbortController();
    const begun = send(bytes("begun line"), "json", controller.signal);
    const waiting = send(bytes("waiting"), "json", controller.signal);
    await pipe.isWaiting;
    controller.abort();
    expect(await begun).toMatchObject({ kind: "failed", why: "stopped" });
    expect(await waiting).toMatchObject({ kind: "failed", why: "stopped" });
    expect(pipe.text()).toBe("begu");
  });

  test("receives the begun line and those after it whole if it reads again", async () => {
    const pipe = unreadPipe();
    const send = createStdoutSender(() => undefined, pipe.write);
    const controller = new AbortController();
    const begun = send(bytes("begun line"), "json", controller.signal);
    const cancelled = send(bytes("cancelled"), "json", controller.signal);
    await pipe.isWaiting;
    controller.abort();
    await Promise.all([begun, cancelled]);
    const next = send(bytes("next"), "json", never);
    pipe.read();
    expect(await next).toEqual({ kind: "accepted" });
    expect(pipe.text()).toBe("begun line\nnext\n");
  });
});

describe("a reader that has gone", () => {
  test("is reported once, and nothing more is accepted", async () => {
    let closed = 0;
    const send = createStdoutSender(() => closed++, failing("EPIPE", "broken pipe"));
    for (let time = 0; time < 3; time++)
      expect(await send(bytes("x"), "json", never)).toMatchObject({ kind: "failed", why: "standard output is closed" });
    expect(closed).toBe(1);
  });
});

test("any other failure can be retried", async () => {
  const send = createStdoutSender(() => undefined, failing("ENOSPC", "disk full"));
  expect(await send(bytes("x"), "json", never)).toEqual({
    kind: "failed",
    cause: "unreachable",
    why: "standard output: disk full",
  });
});
