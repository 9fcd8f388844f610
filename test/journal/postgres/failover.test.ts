/** Tests a database whose standby takes over without the last commits: everything that relied on them is discarded. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startOfJournal } from "../../../src/journal/index.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { createPostgresState, type PostgresState } from "../postgres-state.ts";
import { acceptedIn, appendNumbers, cursorAt, numbersIn } from "../support.ts";

describe.skipIf(!canHavePostgres)("a database that fails over", () => {
  let cluster: Cluster;
  let state: PostgresState;
  beforeAll(async () => {
    cluster = await startCluster();
    state = createPostgresState(cluster);
  }, timeoutMs);
  afterAll(async () => {
    await state.remove();
    await cluster.end();
  });

  test(
    "without its last commits ends the term, and lost records are accepted when they are sent again",
    async () => {
      const forever = new AbortController().signal;
      const [first, second] = [await state.join(), await state.join()];
      const append = async (numbers: readonly number[]): Promise<void> => {
        await until(() =>
          appendNumbers(second, numbers).then(
            () => true,
            () => false,
          ),
        );
      };
      const led = await first.lead(forever);
      await appendNumbers(led, [1, 2]);
      await appendNumbers(second, [3]);
      await led.writeSnapshot({ measuredSeq: 2, blobs: new Map() });
      await cluster.keepCopy();
      await append([4, 5]);
      await until(() => led.lastSeq === 3);
      led.progress({ cursor: cursorAt(4, 5), marks: [] });
      await led.writeSnapshot({ measuredSeq: 3, blobs: new Map() });
      await cluster.failOver();
      // As many rows as were lost, so that row numbers do not reveal the loss.
      await append([5, 6]);
      await until(() => led.lost.aborted);
      const next = await second.lead(forever);
      expect(await numbersIn(next)).toEqual([1, 2, 3, 5, 6]);
      expect([next.cursor, next.readSnapshot().measuredSeq, next.pendingRecords]).toEqual([startOfJournal, 2, 5]);
      expect(state.log.join("\n")).toContain("failed over, or was restored, without its last commits");
      expect(acceptedIn(await appendNumbers(second, [4, 5, 6]))).toBe(1);
      expect(acceptedIn(await appendNumbers(first, [4, 5, 6, 7]))).toBe(1);
    },
    timeoutMs,
  );
});
