/** Which tailnet is shown, of an instance that serves several: it stands in the page's address. */
import { signal } from "@preact/signals";

/** Names of all, the first one first; empty if there is one, without a name. Absent until they are known. */
export const tailnets = signal<readonly string[] | undefined>(undefined);

/** What the address names, which may not be there; the first one if it names none. */
export function shownTailnet(): string | undefined {
  return chosen() ?? tailnets.value?.[0];
}

/** Loads the page anew: nothing of one tailnet may be left beside another. */
export function showTailnet(name: string): void {
  location.search = new URLSearchParams({ tailnet: name }).toString();
}

/** What belongs to the whole process. */
const shared = /^\/api\/v1\/(?:session|instance)\b/;

/** A path of the API with its parameters, for the tailnet that is shown. */
export function ofTailnet(path: string): string {
  const name = chosen();
  if (name === null || shared.test(path)) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ tailnet: name }).toString()}`;
}

/** Absent: the first one. */
function chosen(): string | null {
  return new URLSearchParams(location.search).get("tailnet");
}
