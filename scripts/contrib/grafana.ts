/** Builds Grafana dashboards for import from a short declaration: rows of panels, placed from left to right. */

export interface Dashboard {
  /** The file's name and the dashboard's id in Grafana, by which other dashboards link to it. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
  /** Collapsed until it is clicked on; it runs no queries before. */
  readonly isCollapsed?: true;
}

export interface Query {
  readonly expression: string;
  /** With Grafana's placeholders: `{{label}}`. */
  readonly legend?: string;
}

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly kind: "timeseries" | "stacked" | "stat" | "bars" | "table" | "loki" | "victorialogs";
  /** Grafana's id of a unit, such as `Bps`. */
  readonly unit?: string;
  readonly queries: readonly Query[];
  /** Columns, of 24. */
  readonly width?: number;
  readonly height?: number;
  /** From this value up, the panel is red; below it, green. */
  readonly redFrom?: number;
  /** From this value up, the panel is green; below it, red. */
  readonly greenFrom?: number;
}

/** The matchers and the range shared by all PromQL queries of the dashboards. */
export const scope = 'tailscale_tailnet=~"$tailnet",instance=~"$instance"';
export const window = "$__rate_interval";

export const ids = {
  flows: "tailscale2otel-flows",
  changes: "tailscale2otel-changes",
  health: "tailscale2otel-health",
};

const widths: Record<Panel["kind"], number> = {
  timeseries: 12,
  stacked: 12,
  stat: 4,
  bars: 8,
  table: 12,
  loki: 24,
  victorialogs: 24,
};
const heights: Record<Panel["kind"], number> = {
  timeseries: 8,
  stacked: 8,
  stat: 4,
  bars: 9,
  table: 9,
  loki: 12,
  victorialogs: 12,
};

const sources = {
  prometheus: { type: "prometheus", uid: "${datasource}" },
  loki: { type: "loki", uid: "${loki}" },
  victorialogs: { type: "victoriametrics-logs-datasource", uid: "${victorialogs}" },
};

/** The JSON file of a dashboard. `up`: the name of the series whose labels fill the variables. */
export function dashboardJson({ id, title, description, rows }: Dashboard, up: string): string {
  const dashboard = {
    uid: id,
    title,
    description,
    tags: ["tailscale", "tailscale2otel"],
    schemaVersion: 41,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    links: [
      {
        title: "tailscale2otel",
        type: "dashboards",
        tags: ["tailscale2otel"],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        icon: "external link",
        targetBlank: false,
        tooltip: "The other dashboards of this program",
      },
    ],
    templating: { list: variables(rows, up) },
    annotations: { list: [] },
    panels: panelsOf(rows),
  };
  return JSON.stringify(dashboard);
}

function variables(rows: readonly Row[], up: string): readonly object[] {
  const kinds = new Set(rows.flatMap(({ panels }) => panels.map(({ kind }) => kind)));
  const source = (name: string, label: string, query: string) => ({ type: "datasource", name, label, query, hide: 0 });
  const label = (name: string, title: string, of: string) => ({
    type: "query",
    name,
    label: title,
    datasource: sources.prometheus,
    refresh: 2,
    sort: 1,
    includeAll: true,
    multi: true,
    allValue: ".*",
    current: { text: ["All"], value: ["$__all"] },
    query: { query: `label_values(${up}, ${of})`, refId: "labels" },
  });
  return [
    source("datasource", "Prometheus", sources.prometheus.type),
    ...(kinds.has("loki") ? [source("loki", "Loki", sources.loki.type)] : []),
    ...(kinds.has("victorialogs") ? [source("victorialogs", "VictoriaLogs", sources.victorialogs.type)] : []),
    label("tailnet", "Tailnet", "tailscale_tailnet"),
    label("instance", "Instance", "instance"),
    {
      type: "custom",
      name: "top",
      label: "Show the first",
      query: "10,25,50",
      includeAll: false,
      multi: false,
      current: { text: "10", value: "10" },
    },
  ];
}

function panelsOf(rows: readonly Row[]): readonly object[] {
  let id = 0;
  let top = 0;
  return rows.flatMap(({ title, panels, isCollapsed = false }) => {
    const row = {
      id: ++id,
      type: "row",
      title,
      collapsed: isCollapsed,
      gridPos: { x: 0, y: top, w: 24, h: 1 },
    };
    top += 1;
    let [left, lineHeight] = [0, 0];
    const placed = panels.map((panel) => {
      const [width, height] = [panel.width ?? widths[panel.kind], panel.height ?? heights[panel.kind]];
      if (left + width > 24) [top, left, lineHeight] = [top + lineHeight, 0, 0];
      const gridPos = { x: left, y: top, w: width, h: height };
      left += width;
      lineHeight = Math.max(lineHeight, height);
      return { id: ++id, gridPos, ...panelOf(panel) };
    });
    top += lineHeight;
    return isCollapsed ? [{ ...row, panels: placed }] : [{ ...row, panels: [] }, ...placed];
  });
}

function panelOf({ title, description, kind, unit = "short", queries, redFrom, greenFrom }: Panel): object {
  const isLogs = kind === "loki" || kind === "victorialogs";
  const datasource = isLogs ? sources[kind] : sources.prometheus;
  const isInstant = kind === "stat" || kind === "bars" || kind === "table";
  const targets = queries.map(({ expression, legend }, index) => ({
    refId: String.fromCharCode(65 + index),
    datasource,
    expr: expression,
    ...(isLogs
      ? { queryType: kind === "loki" ? "range" : "instant", maxLines: 200 }
      : { legendFormat: legend ?? "__auto", instant: isInstant, range: !isInstant, editorMode: "code" }),
    ...(kind === "table" ? { format: "table" } : {}),
  }));
  const steps = stepsOf(redFrom, greenFrom);
  const defaults = {
    unit,
    ...(kind === "timeseries" || kind === "stacked" ? { custom: lines(kind === "stacked") } : {}),
    ...(kind === "stat" || kind === "bars"
      ? { color: { mode: steps.length > 1 ? "thresholds" : "palette-classic" } }
      : {}),
    thresholds: { mode: "absolute", steps },
  };
  return {
    title,
    description,
    datasource,
    targets,
    type:
      { timeseries: "timeseries", stacked: "timeseries", stat: "stat", bars: "bargauge", table: "table" }[
        kind as "stat"
      ] ?? "logs",
    fieldConfig: { defaults, overrides: [] },
    ...(kind === "table" ? { transformations: [{ id: "organize", options: { excludeByName: { Time: true } } }] } : {}),
    options: optionsOf(kind),
  };
}

function stepsOf(redFrom: number | undefined, greenFrom: number | undefined): readonly object[] {
  const green = { color: "green", value: null };
  if (redFrom !== undefined) return [green, { color: "red", value: redFrom }];
  if (greenFrom === undefined) return [green];
  return [
    { color: "red", value: null },
    { color: "green", value: greenFrom },
  ];
}

const lines = (isStacked: boolean) => ({
  drawStyle: "line",
  lineWidth: 1,
  fillOpacity: isStacked ? 30 : 8,
  showPoints: "never",
  spanNulls: 120_000,
  axisSoftMin: 0,
  stacking: { mode: isStacked ? "normal" : "none", group: "A" },
});

function optionsOf(kind: Panel["kind"]): object {
  const reduceOptions = { calcs: ["lastNotNull"], fields: "", values: false };
  switch (kind) {
    case "timeseries":
    case "stacked":
      return {
        legend: { displayMode: "table", placement: "bottom", calcs: ["lastNotNull", "max"] },
        tooltip: { mode: "multi", sort: "desc" },
      };
    case "stat":
      return { reduceOptions, colorMode: "value", graphMode: "none", textMode: "auto" };
    case "bars":
      return { reduceOptions, orientation: "horizontal", displayMode: "basic", showUnfilled: true };
    case "table":
      return { showHeader: true, cellHeight: "sm", sortBy: [{ displayName: "Value", desc: true }] };
    case "loki":
    case "victorialogs":
      return {
        showTime: true,
        wrapLogMessage: true,
        enableLogDetails: true,
        sortOrder: "Descending",
        dedupStrategy: "none",
      };
  }
}
