/** What a change has changed, line by line. */
import { diffLines } from "diff";
import type { JSX } from "preact";

/** After this long, both texts are shown as they are: 3,000 lines without one in common take seconds. */
const timeoutMs = 200;

export function Difference({ before, after }: { readonly before: string; readonly after: string }): JSX.Element {
  const parts = diffLines(before, after, { timeout: timeoutMs });
  return <pre>{parts?.map(({ value }) => value)}</pre>;
}
