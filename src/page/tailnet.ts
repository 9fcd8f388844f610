/** Which tailnet the page shows, if the instance serves several; its name is kept in the page's address. */
import { signal } from "@preact/signals";

/** Names of all tailnets, the default first; empty if there is only one, without a name. Undefined until known. */
export const tailnets = signal<readonly string[] | undefined>(undefined);

/** The tailnet named in the address, even if it does not exist; otherwise the first one. */
export function shownTailnet(): string | undefined {
  return chosen() ?? tailnets.value?.[0];
}

/** Reloads the page, so that no data of one tailnet is left beside another's. */
export function showTailnet(name: string): void {
  location.search = new URLSearchParams({ tailnet: name }).toString();
}

/** Paths that belong to the whole process. */
const shared = /^\/api\/v1\/(?:session|instance)\b/;

/** An API path with its parameters, for the shown tailnet. */
export function ofTailnet(path: string): string {
  const name = chosen();
  if (name === null || shared.test(path)) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ tailnet: name }).toString()}`;
}

/** The tailnet named in the address; null for the first one. */
function chosen(): string | null {
  return new URLSearchParams(location.search).get("tailnet");
}
