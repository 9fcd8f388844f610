/** What the page shows, as it stands in the address: the view, the chosen nodes, the range of time. A link carries all of it. */
import { type ReadonlySignal, signal } from "@preact/signals";

export const views = ["now", "events", "delivery", "history"] as const;
export type View = (typeof views)[number];

export const ranges = ["5m", "1h", "24h"] as const;
export type Range = (typeof ranges)[number];

export interface Route {
  readonly view: View;
  /** Everything is filtered by these; empty: everything is shown. */
  readonly nodes: readonly string[];
  readonly range: Range;
  /** Further parameters of a view, such as `text` and `id` of events. */
  readonly more: Readonly<Record<string, string>>;
}

/** A change of view keeps the nodes and drops what belongs to the old view. */
export type RouteChange = Partial<Route>;

const current = signal(routeOf(location.hash));
addEventListener("hashchange", () => {
  current.value = routeOf(location.hash);
});

export const route: ReadonlySignal<Route> = current;

/** The address of the page after a change. */
export function hrefOf(change: RouteChange): string {
  const before = current.value;
  const kept = change.view === undefined || change.view === before.view ? before.more : {};
  const next: Route = { ...before, more: kept, ...change };
  const parameters = new URLSearchParams(next.more);
  for (const node of next.nodes) parameters.append("node", node);
  if (next.range !== "1h") parameters.set("range", next.range);
  const text = parameters.toString();
  return `#/${next.view}${text === "" ? "" : `?${text}`}`;
}

export function go(change: RouteChange): void {
  location.hash = hrefOf(change);
}

function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parameters = new URLSearchParams(query);
  const nodes = parameters.getAll("node");
  const range = parameters.get("range");
  parameters.delete("node");
  parameters.delete("range");
  return {
    view: views.find((name) => name === path) ?? "now",
    nodes,
    range: ranges.find((name) => name === range) ?? "1h",
    more: Object.fromEntries(parameters),
  };
}
