/** The short form of the chaos run with two instances and a database. */
import { describe, expect, test } from "bun:test";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { longTimeoutMs } from "../support/wait.ts";
import { runRounds } from "./cluster-rounds.ts";

describe.skipIf(!canHavePostgres)("two instances on one database", () => {
  test(
    "thirty faults of instances, database and network lose nothing, invent nothing and count nothing twice",
    async () => {
      const lines: string[] = [];
      const report = (line: string): void => void lines.push(line);
      const { violations } = await runRounds({ rounds: 30, seed: 20_261_127, atOnce: 2, report });
      expect(violations, lines.join("\n")).toEqual([]);
    },
    longTimeoutMs,
  );
});
