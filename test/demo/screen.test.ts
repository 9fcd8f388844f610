/** Drawing in place on a terminal. */
import { expect, test } from "bun:test";
import { createScreen, frameOf, type Moment } from "../../src/demo/screen.ts";
import { noTotals } from "../../src/demo/sender.ts";

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

const sums = { received: 120, accepted: 100, duplicate: 10, skipped: 5, quarantined: 5, delivered: 90, pending: 8 };
const moment: Moment = {
  elapsedMs: 61_000,
  sent: { ...noTotals(), requests: 12, records: 120, bytes: 4096, acknowledgementMs: [3, 9] },
  sums: { ...sums, deadLettered: 2, lost: 0, uncounted: 0 },
  entries: 5000,
  entriesPerSecond: 80,
  talkers: [{ from: "fileserver-of-the-office", to: "laptop-of-somebody", bytes: 4_210_000 }],
  events: [],
  fresh: [],
};

test.each([80, 40])("on %d columns, answer times, amounts and reasons are there", (columns) => {
  const notice = "log export is failing (reason: connection refused by 127.0.0.1:4318 because nothing listens there)";
  const frame = frameOf(moment, [notice], columns);
  expect(frame.filter((line) => [...line].length > columns - 1)).toEqual(
    columns === 80 ? [] : [expect.stringContaining("█")],
  );
  const words = frame.map((line) => line.trim()).join(" ");
  expect(words).toContain("9 ms (p50), 9 ms (p99)");
  expect(words).toContain(notice);
  expect(frame.some((line) => line.slice(0, columns - 1).includes("4.21 MB"))).toBe(true);
});
