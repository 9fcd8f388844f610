/** Runs the helper processes of the benchmark, which exchange JSON messages with it, one object per line. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Child {
  readonly pid: number;
  /** The next message from the child. Rejects if the child ends first, or after the timeout. */
  read<Message>(timeoutMs: number): Promise<Message>;
  write(message: object): void;
  /** Kills the child, and resolves when it has ended. */
  end(): Promise<void>;
}

/** Runs a script of this folder in this runtime; it inherits standard error. */
export function startChild(script: string, args: readonly string[]): Child {
  const child = spawn(process.execPath, [new URL(script, import.meta.url).pathname, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  if (child.pid === undefined) throw new Error(`cannot start ${script}`);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  endWithUs(ended, () => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid,
    async read<Message>(timeoutMs: number): Promise<Message> {
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`no message from ${script} within ${timeoutMs} ms`)), timeoutMs);
      try {
        const line = await Promise.race([lines.next(), late]);
        if (line.done === true) throw new Error(`${script} ended early`);
        return JSON.parse(line.value) as Message;
      } finally {
        clearTimeout(timer);
      }
    },
    write: (message) => void child.stdin.write(`${JSON.stringify(message)}\n`),
    async end() {
      child.kill();
      await ended;
    },
  };
}

const running = new Set<() => unknown>();
process.once("exit", () => running.forEach((kill) => kill()));

/** Kills a process that is still running when this one ends. */
export function endWithUs(ended: Promise<unknown>, kill: () => unknown): void {
  running.add(kill);
  void ended.finally(() => running.delete(kill));
}

/** In the child: the messages of the parent. */
export function parentMessages(): AsyncIterableIterator<string> {
  return createInterface({ input: process.stdin })[Symbol.asyncIterator]();
}

/** In the child: sends a message to the parent. */
export function tellParent(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
