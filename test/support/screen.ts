/** Runs a program in a resizable pseudo-terminal and interprets its output into what a person would see on the screen. */

export interface ScreenProgram {
  /** The lines of the visible screen, without trailing spaces. */
  lines(): readonly string[];
  /** True while the alternate screen is shown. `hasCursor` is true while the cursor is. */
  readonly isAlternate: boolean;
  readonly hasCursor: boolean;
  /** True if a line that is too long wraps. */
  readonly wraps: boolean;
  /** The whole output so far. */
  readonly written: string;
  resize(columns: number, rows: number): void;
  type(keys: string): void;
  kill(signal: NodeJS.Signals): void;
  readonly pid: number;
  /** The exit code; null if a signal ended it. */
  readonly exited: Promise<number | null>;
}

export interface ScreenOptions {
  readonly columns: number;
  readonly rows: number;
  readonly directory: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export function startOnScreen(
  command: readonly string[],
  { columns, rows, directory, environment = {} }: ScreenOptions,
): ScreenProgram {
  const screen = new Screen(columns, rows);
  const decoder = new TextDecoder();
  let written = "";
  const child = Bun.spawn([...command], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, TERM: "xterm-256color", ...environment },
    terminal: {
      cols: columns,
      rows,
      data(_terminal, data) {
        const text = decoder.decode(data, { stream: true });
        written += text;
        screen.write(text);
      },
    },
  });
  return {
    lines: () => screen.lines(),
    get isAlternate() {
      return screen.isAlternate;
    },
    get hasCursor() {
      return screen.hasCursor;
    },
    get wraps() {
      return screen.wraps;
    },
    get written() {
      return written;
    },
    resize(wide, high) {
      screen.resize(wide, high);
      child.terminal?.resize(wide, high);
    },
    type: (keys) => void child.terminal?.write(keys),
    kill: (signal) => child.kill(signal),
    pid: child.pid,
    exited: child.exited.then(() => child.exitCode),
  };
}

/** Matches an escape sequence, or one character. */
// oxlint-disable-next-line no-control-regex
const token = /\u001b\[([?0-9;]*)([A-Za-z])|[^\u001b]/gu;

/** A terminal screen on which every character is one column wide, as in the tests. Unknown sequences are errors. */
export class Screen {
  isAlternate = false;
  hasCursor = true;
  wraps = true;
  #columns: number;
  #rows: number;
  #main: string[][] = [];
  #alternate: string[][] = [];
  #row = 0;
  #column = 0;
  #saved: readonly [row: number, column: number] = [0, 0];
  #rest = "";

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
  }

  lines(): readonly string[] {
    return Array.from({ length: this.#rows }, (_, row) => Array.from(this.#grid[row] ?? [], (one) => one ?? " ")).map(
      (cells) => cells.join("").trimEnd(),
    );
  }

  /** Resizes as terminals do: content outside is lost, the rest stays where it is. */
  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
    for (const grid of [this.#main, this.#alternate]) {
      grid.length = Math.min(grid.length, rows);
      for (const line of grid) if (line !== undefined) line.length = Math.min(line.length, columns);
    }
    this.#row = Math.min(this.#row, rows - 1);
    this.#column = Math.min(this.#column, columns - 1);
  }

  write(text: string): void {
    const all = this.#rest + text;
    // oxlint-disable-next-line no-control-regex
    const open = /\u001b(?:\[[?0-9;]*)?$/.exec(all);
    this.#rest = open?.[0] ?? "";
    for (const [character, parameters, command] of all.slice(0, all.length - this.#rest.length).matchAll(token)) {
      if (command === undefined) this.#put(character);
      else this.#control(parameters ?? "", command);
    }
  }

  get #grid(): string[][] {
    return this.isAlternate ? this.#alternate : this.#main;
  }

  #put(character: string): void {
    if (character === "\r") this.#column = 0;
    else if (character === "\n") this.#down();
    else {
      if (this.#column >= this.#columns) {
        if (this.wraps) [this.#column] = [0, this.#down()];
        else this.#column = this.#columns - 1;
      }
      (this.#grid[this.#row] ??= [])[this.#column++] = character;
    }
  }

  #down(): void {
    if (this.#row < this.#rows - 1) this.#row++;
    else this.#grid.splice(0, 1);
  }

  #control(parameters: string, command: string): void {
    const isOn = command === "h";
    switch (`${parameters}${command}`) {
      case "?1049h":
      case "?1049l":
        if (isOn) this.#saved = [this.#row, this.#column];
        else [this.#row, this.#column] = this.#saved;
        this.isAlternate = isOn;
        this.#alternate = [];
        return;
      case "?25h":
      case "?25l":
        this.hasCursor = isOn;
        return;
      case "?7h":
      case "?7l":
        this.wraps = isOn;
        return;
      case "H":
        this.#row = this.#column = 0;
        return;
      case "K":
        (this.#grid[this.#row] ??= []).length = Math.min(this.#grid[this.#row]?.length ?? 0, this.#column);
        return;
      case "2K":
        (this.#grid[this.#row] ??= []).length = 0;
        return;
      case "J":
        this.#control("", "K");
        this.#grid.length = Math.min(this.#grid.length, this.#row + 1);
        return;
      case "2J":
        this.#grid.length = 0;
        return;
      default:
        if (command !== "m") throw new Error(`unknown sequence ${JSON.stringify(parameters + command)}`);
    }
  }
}
