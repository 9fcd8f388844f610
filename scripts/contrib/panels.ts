/** One function per kind of panel, which takes title, description, queries, and further options. */
import type { Panel } from "./grafana.ts";

type More = Omit<Panel, "title" | "kind" | "description" | "queries">;

export const timeseries = panelOf("timeseries");
export const stacked = panelOf("stacked");
export const stat = panelOf("stat");
export const bars = panelOf("bars");
export const table = panelOf("table");

function panelOf(kind: Panel["kind"]) {
  return (title: string, description: string, queries: Panel["queries"], more: More = {}): Panel => ({
    title,
    kind,
    description,
    queries,
    ...more,
  });
}
