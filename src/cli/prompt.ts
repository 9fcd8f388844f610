/** Prompts a user at a terminal, on standard error, for one line of input each; secrets are not echoed. */
import process from "node:process";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";

/** The user pressed Ctrl-C or closed the terminal. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor() {
    super("interrupted");
  }
}

export type Prompt = NonNullable<ReturnType<typeof openPrompt>>;

/** Lines typed or pasted ahead answer the next questions. `undefined` if there is nobody to ask. */
export function openPrompt() {
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) return undefined;
  let isHidden = false;
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (isHidden) done();
      else stderr.write(chunk, () => done());
    },
  });
  const reader = createInterface({ input: stdin, output, terminal: true, historySize: 0 });
  const typed: string[] = [];
  let waiting: PromiseWithResolvers<string> | undefined;
  const interruption = Promise.withResolvers<never>();
  interruption.promise.catch(() => {});
  reader.on("line", (line) => {
    if (waiting === undefined) typed.push(line);
    else waiting.resolve(line);
    waiting = undefined;
  });
  reader.on("close", () => interruption.reject(new Interrupted()));
  reader.on("SIGINT", () => reader.close());

  async function next(question: string): Promise<string> {
    reader.setPrompt(question);
    reader.prompt();
    const ahead = typed.shift();
    if (ahead !== undefined) return ahead.trim();
    waiting = Promise.withResolvers();
    return (await Promise.race([waiting.promise, interruption.promise])).trim();
  }

  return {
    /** Returns the trimmed answer. @throws {Interrupted} */
    ask: next,
    /** Like `ask`, without echo. @throws {Interrupted} */
    async askSecret(question: string): Promise<string> {
      stderr.write(question);
      isHidden = true;
      try {
        return await next("");
      } finally {
        isHidden = false;
        stderr.write("\n");
      }
    },
    /** Rejects with `Interrupted` as soon as the user aborts, also between two questions. */
    interrupted: interruption.promise,
    close: (): void => reader.close(),
  };
}
