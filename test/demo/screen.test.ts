/** Drawing in place on a terminal. */
import { expect, test } from "bun:test";
import { createScreen } from "../../src/demo/screen.ts";

function terminal(columns: number, rows: number) {
  let written = "";
  const output = {
    columns: () => columns,
    rows: () => rows,
    write: (text: string) => void (written += text),
  };
  const take = () => {
    const text = written;
    written = "";
    return text;
  };
  return { draw: createScreen(output), take };
}

test("a frame is drawn over the one before it, and the rest of the screen is cleared", () => {
  const { draw, take } = terminal(80, 24);
  draw(["one", "two"]);
  expect(take()).toBe("one\u001b[K\ntwo\u001b[K\n\u001b[J");
  draw(["three"]);
  expect(take()).toBe("\u001b[2A\rthree\u001b[K\n\u001b[J");
});

test("what does not fit is cut, so that the next frame finds its place", () => {
  const { draw, take } = terminal(6, 3);
  draw(["abcdefgh", "b", "c", "d"]);
  expect(take()).toBe("abcd…\u001b[K\nb\u001b[K\n\u001b[J");
  draw(["e"]);
  expect(take()).toBe("\u001b[2A\re\u001b[K\n\u001b[J");
});
