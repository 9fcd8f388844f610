/** Where the demo writes: a terminal, on which one frame is drawn over the last, or a pipe, which gets lines. */

export interface Output {
  readonly isTerminal: boolean;
  /** The terminal's present size in characters. */
  readonly columns: () => number;
  readonly rows: () => number;
  readonly write: (text: string) => void;
}

export interface Screen {
  /** Replaces the last frame, in place. Lines longer than the terminal is wide are cut. */
  draw(lines: readonly string[]): void;
}

const escape = "\u001b";

/** Draws where the cursor is and leaves the last frame standing, so that it can be read after the end. */
export function createScreen(output: Output): Screen {
  let drawnRows = 0;
  return {
    draw(lines) {
      const shown = lines.slice(0, Math.max(1, output.rows() - 1)).map((line) => cut(line, output.columns() - 1));
      const home = drawnRows > 0 ? `${escape}[${drawnRows}A\r` : "";
      output.write(`${home}${shown.map((line) => `${line}${escape}[K\n`).join("")}${escape}[J`);
      drawnRows = shown.length;
    },
  };
}

function cut(line: string, columns: number): string {
  const characters = [...line];
  return characters.length <= columns ? line : `${characters.slice(0, Math.max(0, columns - 1)).join("")}…`;
}
