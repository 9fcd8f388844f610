/** Reads the dashboards in `contrib/grafana` as Grafana does. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}

export interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly datasource?: Target["datasource"];
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** The panels of a collapsed row. */
  readonly panels?: readonly Panel[];
  readonly targets?: readonly Target[];
}

export interface DashboardFile {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query?: { readonly query?: string };
    }[];
  };
}

/** The dashboards, sorted by file name. */
export function dashboardFiles(): readonly DashboardFile[] {
  const folder = join(import.meta.dirname, "../../contrib/grafana");
  const files = readdirSync(folder).toSorted();
  return files.map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as DashboardFile);
}

/** Rows, and panels inside and outside rows. */
export function panelsOf({ panels }: DashboardFile): readonly Panel[] {
  return panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

/** Every query to a type of data source with its panel's title, and with the variables filled in as Grafana does by default. */
export function queriesTo(type: string): readonly (readonly [title: string, query: string])[] {
  return dashboardFiles()
    .flatMap(panelsOf)
    .flatMap(({ title, targets = [] }) =>
      targets.filter(({ datasource }) => datasource.type === type).map(({ expr }) => [title, inGrafana(expr)] as const),
    );
}

function inGrafana(expression: string): string {
  return expression
    .replaceAll("$tailnet", ".*")
    .replaceAll("$instance", ".*")
    .replaceAll("$top", "10")
    .replaceAll("$__rate_interval", "1m")
    .replaceAll("$__range", "1h");
}
