/** A helper process that keeps one core busy with the floor's own work, while the floor is measured on another. Ends by itself. */
import { createLoad } from "./bodies.ts";
import { tellParent } from "./child.ts";
import { floorTexts } from "./floor.ts";

/** Longer than any measurement takes; the parent ends it before. */
const endsAfterMs = 60_000;

const texts = floorTexts(createLoad(16, Date.now()));
const ends = performance.now() + endsAfterMs;
tellParent({ ready: true });
while (performance.now() < ends) for (const text of texts) JSON.parse(text);
