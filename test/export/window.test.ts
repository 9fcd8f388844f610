/** Which cursors may be committed, and what is counted with them. */
import { describe, expect, test } from "bun:test";
import type { DeliverableRecord } from "../../src/export/delivery-source.ts";
import { answer, createPiece, type Piece, type Verdict } from "../../src/export/piece.ts";
import { DeliveryWindow } from "../../src/export/window.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import { describeTestLine } from "./delivery.ts";

const line = '["e0","e1","e2"]';
const record: DeliverableRecord = {
  seq: 1,
  record: 0,
  records: 1,
  type: "flow",
  source: "stream",
  line,
  events: describeTestLine(line),
  defect: undefined,
};
const taken: Verdict = { kind: "taken", partial: undefined };
const dead: Verdict = { kind: "dead", refusal: { reason: "rejected", message: "no" } };

/** The events of the one record, each in a piece of its own. */
function pieces(): [Piece, Piece, Piece] {
  const piece = (event: number) =>
    createPiece(
      [{ record, from: event, to: event + 1 }],
      record.events.slice(event, event + 1),
      event === 2 ? { seq: 2, record: 0, event: 0 } : { seq: 1, record: 0, event: event + 1 },
      { request: event, isPart: false, isSuspect: false },
    );
  return [piece(0), piece(1), piece(2)];
}

describe("a cursor inside a record", () => {
  test("may be committed while the record has lost nothing", () => {
    const window = new DeliveryWindow(startOfJournal);
    const [first, second, third] = pieces();
    for (const piece of [first, second, third]) window.add(piece);
    answer(first, taken);
    expect(window.advance(0)).toMatchObject({ cursor: { seq: 1, record: 0, event: 1, records: { delivered: 0 } } });
    answer(third, taken);
    expect(window.advance(0)).toBeUndefined();
    answer(second, taken);
    expect(window.advance(0)).toMatchObject({
      cursor: { seq: 2, records: { delivered: 1, deadLettered: 0 }, events: { delivered: 3 } },
      setAside: [],
    });
  });

  test("is kept back once it has, so that a restart does not count the record twice", () => {
    const window = new DeliveryWindow(startOfJournal);
    const [first, second, third] = pieces();
    for (const piece of [first, second, third]) window.add(piece);
    answer(first, taken);
    answer(second, dead);
    expect(window.advance(0)).toBeUndefined();
    answer(third, taken);
    expect(window.advance(7)).toMatchObject({
      cursor: {
        seq: 2,
        record: 0,
        event: 0,
        records: { delivered: 0, deadLettered: 1 },
        events: { delivered: 2, rejected: 0, deadLettered: 1 },
      },
      setAside: [{ class: "dead_letter", at: 7, seq: 1, text: line, detail: "no (1 of its 3 log events)" }],
    });
  });
});
