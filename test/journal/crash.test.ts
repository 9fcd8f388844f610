/** Tests a process killed at any moment: everything answered is stored once, and anything else is stored whole or not at all. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createRandom } from "../../src/demo/random.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import { acceptedIn, appendNumbers, keyOf, numbersIn } from "./support.ts";

let state: SqliteState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

/** Runs the process, kills it once it has answered that many records, and returns its answers. */
function answersUntilKilled(first: number, wanted: number): Promise<number[]> {
  const entry = new URL("crash-entry.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [entry, state.path, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    if (output.split("\n").length > wanted) child.kill("SIGKILL");
  });
  return new Promise((resolve) => {
    child.on("close", () => resolve(output.slice(0, output.lastIndexOf("\n")).split("\n").map(Number)));
  });
}

test("ten kills lose nothing that was answered, and store nothing twice", async () => {
  const random = createRandom(3);
  const answered: number[] = [];
  let lost = 0;
  for (let round = 0; round < 10; round++) {
    answered.push(...(await answersUntilKilled(round * 100_000, 20 + random.below(400))));
    const journal = state.open({ retentionMs: 1000 * 3_600_000 });
    const numbers = await numbersIn(journal);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const n of answered) if (!journal.knows("flow", keyOf(n), 0)) lost++;
    expect(journal.keyCount("flow")).toBe(journal.cursor.records.delivered + journal.pendingRecords);
    expect(journal.loss.rows).toBe(0);
    const after = journal.cursor.seq;
    const pending = numbers.length;
    expect(pending).toBeGreaterThanOrEqual(journal.pendingRecords);
    expect(journal.lastSeq).toBeGreaterThanOrEqual(after - 1);
    const again = await appendNumbers(journal, answered.slice(-5));
    expect(acceptedIn(again)).toBe(0);
    journal.close();
  }
  expect(lost).toBe(0);
}, 120_000);
