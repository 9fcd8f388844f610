/** Runs a program in a pseudo-terminal and answers its questions as a person would. */
import { stripVTControlCharacters } from "node:util";

export interface TerminalProgram {
  /** All output so far, without control sequences. */
  text(): string;
  /** Resolves once the text appears after the previous match. @throws {Error} if the program exits first. */
  until(text: string): Promise<void>;
  /** Types keys: `\r` is Enter, `\u0003` Ctrl-C. */
  type(keys: string): void;
  /** Waits for a question, then types the answer and Enter. */
  answer(question: string, words: string): Promise<void>;
  /** Its exit code. */
  readonly ended: Promise<number>;
}

export function startInTerminal(
  command: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): TerminalProgram {
  const decoder = new TextDecoder();
  let text = "";
  let seen = 0;
  const looks = new Set<() => void>();
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...env, TERM: "xterm" },
    terminal: {
      cols: 200,
      rows: 50,
      data(_, bytes) {
        text += decoder.decode(bytes, { stream: true });
        for (const look of looks) look();
      },
    },
  });
  const shown = (): string => stripVTControlCharacters(text).replaceAll("\r\n", "\n");
  const program: TerminalProgram = {
    text: shown,
    until(words) {
      const found = Promise.withResolvers<void>();
      const look = (): void => {
        const at = shown().indexOf(words, seen);
        if (at < 0) return;
        seen = at + words.length;
        looks.delete(look);
        found.resolve();
      };
      looks.add(look);
      look();
      void child.exited.then(() => found.reject(new Error(`ended without ${words}:\n${shown()}`)));
      return found.promise;
    },
    type: (keys) => void child.terminal?.write(keys),
    async answer(question, words) {
      await program.until(question);
      program.type(`${words}\r`);
    },
    ended: child.exited,
  };
  return program;
}
