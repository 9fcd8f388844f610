/** What the page shows: the view, the chosen nodes, and the range of time, kept in sync with the address. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { changed, hashOf, type Route, type RouteChange, routeOf } from "./address.ts";

export { type Range, rangeMs, ranges, type Route, type RouteChange, type View, views } from "./address.ts";

const current = signal(routeOf(location.hash));
addEventListener("hashchange", () => {
  current.value = routeOf(location.hash);
});

export const route: ReadonlySignal<Route> = current;

/** The address of the page after a change. */
export function hrefOf(change: RouteChange): string {
  return hashOf(changed(current.value, change));
}

/** Navigates with a history entry, so that the back button returns here. */
export function go(change: RouteChange): void {
  location.hash = hrefOf(change);
}

/** Navigates without a history entry, for changes on every keystroke. */
export function replace(change: RouteChange): void {
  const hash = hrefOf(change);
  history.replaceState(null, "", hash);
  current.value = routeOf(hash);
}
