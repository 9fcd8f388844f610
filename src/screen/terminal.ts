/** Draws frames on the terminal's alternate screen without leftovers, and restores the terminal however the program ends. */
import { writeSync } from "node:fs";
import process from "node:process";

/** Makes the lines for a terminal of the given size. */
type Render = (columns: number, rows: number) => readonly string[];

/** Switches to the alternate screen, hides the cursor and turns wrapping off; and the reverse. */
const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J";
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l";

/** Some terminals report a size of 0. */
const usual = { columns: 80, rows: 24 };

const interrupt = "\u0003";

/** True if frames can be drawn, which requires a terminal that can move its cursor. */
export function canDraw(environment: Readonly<Record<string, string | undefined>>): boolean {
  return process.stdout.isTTY === true && environment["TERM"] !== "dumb";
}

/**
 * Takes over the terminal. `quit` is called for `q` and for Ctrl-C, which sends no signal while the keyboard is read; `keys` maps
 * further letters to actions.
 */
export function openScreen(quit: () => void, keys: Readonly<Record<string, () => void>> = {}) {
  const { stdout, stdin } = process;
  let last: Render | undefined;
  let isOpen = true;

  const show = (): void => {
    if (last === undefined || !isOpen) return;
    const columns = stdout.columns || usual.columns;
    const rows = stdout.rows || usual.rows;
    const lines = last(columns, rows).slice(0, rows);
    stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`);
  };
  const redraw = (): void => {
    stdout.write("\u001b[2J");
    show();
  };
  const onKeys = (typed: Buffer): void => {
    const letters = typed.toString().toLowerCase();
    if (letters.includes("q") || letters.includes(interrupt)) quit();
    for (const [letter, act] of Object.entries(keys)) if (letters.includes(letter)) act();
  };
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    stdout.off("resize", redraw);
    process.off("exit", close);
    stdin.off("data", onKeys);
    try {
      if (stdin.isTTY) stdin.setRawMode(false);
      // Written synchronously, not through the stream, because the process may be exiting.
      writeSync(stdout.fd, leave);
    } catch {
      // The terminal is gone.
    }
    stdin.pause();
    stdin.unref();
  };

  stdout.write(enter);
  stdout.on("resize", redraw);
  process.on("exit", close);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on("data", onKeys);
    stdin.resume();
  }
  return {
    /** Draws the frame now, and again whenever the size changes. */
    draw(render: Render): void {
      last = render;
      show();
    },
    /** Restores the terminal. Can be called twice. */
    close,
  };
}
