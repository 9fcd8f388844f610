/** The short form of the chaos run: thirty kills of the compiled program. */
import { expect, test } from "bun:test";
import { runStorm } from "./storm.ts";

test("thirty kills lose nothing, invent nothing and count nothing twice", async () => {
  const { violations, figures } = await runStorm({
    seed: 20_261_122,
    durationMs: 0,
    minKills: 30,
    minFigures: { recordsAnswered: 1000, wholeFolds: 10, protobuf: 30, json: 30 },
    maxLifeMs: 1200,
    senders: 4,
  });
  expect(violations).toEqual([]);
  expect(figures["kills"]).toBeGreaterThanOrEqual(30);
}, 480_000);
