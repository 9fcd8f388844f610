/** Chooses which labels to draw on the map and where, so that they do not overlap. */

export interface LabelCandidate {
  readonly text: string;
  /** Width of the text, in CSS pixels. */
  readonly width: number;
  /** Center of the node on the screen. */
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly priority: "always" | "if it fits";
}

export interface PlacedLabel<Candidate extends LabelCandidate> {
  readonly candidate: Candidate;
  /** Center of the text. */
  readonly x: number;
  readonly y: number;
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export const lineHeight = 14;
const gap = 3;

/** The first labels may cover small nodes, so that a crowd of these does not hide the names of the busiest ones. */
const firstLabels = 15;
const smallRadius = 5;

/**
 * Places the candidates in order, each at the first free position below, above, right or left of its node, or nowhere. Places at most `max`, plus
 * those with priority `always`, which may overlap. Every other label lies entirely within the frame.
 */
export function placeLabels<Candidate extends LabelCandidate>(
  candidates: readonly Candidate[],
  frame: { readonly width: number; readonly height: number },
  max: number,
): PlacedLabel<Candidate>[] {
  const taken = new Grid();
  const placed: PlacedLabel<Candidate>[] = [];
  const avoidNodes = (isAvoided: (candidate: Candidate) => boolean): void => {
    for (const candidate of candidates) if (isAvoided(candidate)) taken.add(circleBox(candidate));
  };
  const isLarge = ({ radius }: Candidate): boolean => radius > smallRadius;
  avoidNodes(isLarge);
  for (const [index, candidate] of candidates.entries()) {
    if (index === firstLabels) avoidNodes((other) => !isLarge(other));
    if (placed.length >= max && candidate.priority !== "always") continue;
    const places = placesOf(candidate);
    const free = places.find((place) => {
      const box = boxOf(place, candidate.width);
      return isInside(box, frame) && taken.isFree(box);
    });
    const place = free ?? (candidate.priority === "always" ? places[0] : undefined);
    if (place === undefined) continue;
    taken.add(boxOf(place, candidate.width));
    placed.push({ candidate, ...place });
  }
  return placed;
}

function circleBox({ x, y, radius }: LabelCandidate): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}

function placesOf({ x, y, radius, width }: LabelCandidate): readonly { x: number; y: number }[] {
  const [down, aside] = [radius + gap + lineHeight / 2, radius + gap + width / 2];
  return [
    { x, y: y + down },
    { x, y: y - down },
    { x: x + aside, y },
    { x: x - aside, y },
  ];
}

function boxOf({ x, y }: { readonly x: number; readonly y: number }, width: number): Box {
  return { left: x - width / 2, right: x + width / 2, top: y - lineHeight / 2, bottom: y + lineHeight / 2 };
}

function isInside(
  { left, right, top, bottom }: Box,
  frame: { readonly width: number; readonly height: number },
): boolean {
  return left >= 0 && top >= 0 && right <= frame.width && bottom <= frame.height;
}

/** Indexes boxes by the cells that they touch, so that a box is compared only with those nearby. */
class Grid {
  static readonly cell = 64;
  readonly #cells = new Map<number, Box[]>();

  add(box: Box): void {
    for (const cell of cellsOf(box)) {
      const boxes = this.#cells.get(cell);
      if (boxes === undefined) this.#cells.set(cell, [box]);
      else boxes.push(box);
    }
  }

  isFree(box: Box): boolean {
    for (const cell of cellsOf(box)) if (this.#cells.get(cell)?.some((other) => overlap(box, other))) return false;
    return true;
  }
}

function* cellsOf({ left, top, right, bottom }: Box): Generator<number> {
  for (let row = Math.floor(top / Grid.cell); row <= Math.floor(bottom / Grid.cell); row++)
    for (let column = Math.floor(left / Grid.cell); column <= Math.floor(right / Grid.cell); column++)
      yield row * 10_000 + column;
}

function overlap(left: Box, right: Box): boolean {
  return left.left < right.right && right.left < left.right && left.top < right.bottom && right.top < left.bottom;
}
