/** The page's state as text behind the `#` of its address, so that a link carries it. */

export const views = ["now", "events", "delivery", "history"] as const;
export type View = (typeof views)[number];

export const ranges = ["5m", "1h", "24h"] as const;
export type Range = (typeof ranges)[number];

export const rangeMs: Readonly<Record<Range, number>> = { "5m": 300_000, "1h": 3_600_000, "24h": 86_400_000 };

export interface Route {
  readonly view: View;
  /** Names of the nodes to filter by; empty shows everything. */
  readonly nodes: readonly string[];
  readonly range: Range;
  /** Further parameters of a view, such as `text` and `id` of events. */
  readonly more: Readonly<Record<string, string>>;
}

/** Changing the view keeps the nodes and drops the parameters of the old view. */
export type RouteChange = Partial<Route>;

/** More would make an unreadable filter and a URL that a server may reject. */
const maxNodes = 20;

/** The longest DNS name. */
const maxNameLength = 253;

/** Parses a hash that a person may have edited; invalid parts are ignored. */
export function routeOf(hash: string): Route {
  const text = hash.replace(/^#\/?/, "");
  const behind = text.indexOf("?");
  const path = behind < 0 ? text : text.slice(0, behind);
  const parameters = new URLSearchParams(behind < 0 ? "" : text.slice(behind + 1));
  const nodes = uniqueNodes(parameters.getAll("node"));
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

/** Formats a route as a hash; empty parameters are omitted. */
export function hashOf({ view, nodes, range, more }: Route): string {
  const parameters = new URLSearchParams(Object.entries(more).filter(([, value]) => value !== ""));
  for (const node of uniqueNodes(nodes)) parameters.append("node", node);
  if (range !== "1h") parameters.set("range", range);
  const text = parameters.toString();
  return `#/${view}${text === "" ? "" : `?${text}`}`;
}

/** The route after a change. Switching views drops the parameters of the previous one. */
export function changed(route: Route, change: RouteChange): Route {
  const isSameView = change.view === undefined || change.view === route.view;
  return { ...route, more: isSameView ? route.more : {}, ...change };
}

function uniqueNodes(nodes: readonly string[]): readonly string[] {
  const usable = nodes.filter((node) => node !== "" && node.length <= maxNameLength);
  return [...new Set(usable)].slice(0, maxNodes);
}
