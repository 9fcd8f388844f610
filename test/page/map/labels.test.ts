/** Placement of labels on the map. */
import { expect, test } from "bun:test";
import { type LabelCandidate, lineHeight, placeLabels } from "../../../src/page/map/labels.ts";

const frame = { width: 800, height: 600 };

function candidate(x: number, y: number, more: Partial<LabelCandidate> = {}): LabelCandidate {
  return { text: "name", width: 40, x, y, radius: 6, priority: "if it fits", ...more };
}

function overlaps(labels: readonly { candidate: LabelCandidate; x: number; y: number }[]): number {
  return labels.flatMap((one, index) =>
    labels
      .slice(index + 1)
      .filter(
        (other) =>
          Math.abs(one.x - other.x) < (one.candidate.width + other.candidate.width) / 2 &&
          Math.abs(one.y - other.y) < lineHeight,
      ),
  ).length;
}

test("puts a label below its node if there is room", () => {
  const [label] = placeLabels([candidate(100, 100)], frame, 10);
  expect(label).toMatchObject({ x: 100 });
  expect(label?.y).toBeGreaterThan(106 + lineHeight / 2);
});

test("puts it above at the lower edge, and beside in a corner", () => {
  const [low] = placeLabels([candidate(100, 590)], frame, 10);
  expect(low?.y).toBeLessThan(590);
  const [corner] = placeLabels([candidate(8, 300)], frame, 10);
  expect(corner?.x).toBeGreaterThan(8 + 20);
});

test("never lets two overlap, and places the first ones first", () => {
  const crowd = Array.from({ length: 400 }, (_, index) =>
    candidate(100 + ((index * 37) % 300), 100 + ((index * 91) % 200), { radius: 3 }),
  );
  const labels = placeLabels(crowd, frame, 100);
  expect(labels.length).toBeGreaterThan(10);
  expect(labels.length).toBeLessThan(100);
  expect(overlaps(labels)).toBe(0);
  expect(labels[0]?.candidate).toBe(crowd[0] as LabelCandidate);
});

test("does not cover nodes", () => {
  const wall = [candidate(100, 100), candidate(100, 120), candidate(100, 80), candidate(140, 100), candidate(60, 100)];
  const labels = placeLabels(wall, frame, 10);
  expect(labels.some(({ candidate: one }) => one === wall[0])).toBe(false);
});

test("places no more than allowed, but always the required ones", () => {
  const many = Array.from({ length: 20 }, (_, index) => candidate(100 + index * 30, 50 + index * 25));
  expect(placeLabels(many, frame, 3)).toHaveLength(3);
  const last = candidate(108, 100, { priority: "always" });
  expect(placeLabels([...many, last], frame, 3).map((label) => label.candidate)).toContain(last);
});
