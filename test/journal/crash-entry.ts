/** A process that appends numbered records until it is killed, and prints the numbers of each answered batch. */
import { writeSync } from "node:fs";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { openSqliteJournal } from "../../src/journal/sqlite/index.ts";
import { acceptedIn, appendNumbers, configOf, cursorAt } from "./support.ts";

const [path = "", first = "0"] = process.argv.slice(2);
const journal = openSqliteJournal(configOf({ path, retentionMs: 0 }), {
  telemetry: silentTelemetry,
  logger: silentLogger,
  clock: () => Date.now(),
  ballastBytes: 0,
});

for (let n = Number(first); n < Number(first) + 100_000; n += 8) {
  const batches = [0, 2, 4, 6].map((more) => [n + more, n + more + 1]);
  const answers = batches.map((numbers) => appendNumbers(journal, numbers, { receivedAt: Date.now() }));
  const committed = await Promise.all(answers);
  committed.forEach((answer, place) => {
    if (acceptedIn(answer) === 2) writeSync(1, `${batches[place]?.join("\n")}\n`);
  });
  if (n % 64 !== 0) continue;
  const delivered = journal.cursor.records.delivered + journal.pendingRecords;
  journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["n", Uint8Array.of(n & 0xff)]]) });
  if (n % 512 === 0) journal.progress({ cursor: cursorAt(journal.lastSeq + 1, delivered), marks: [] });
}
