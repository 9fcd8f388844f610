/** The dashboard files: Grafana can place every panel, each is described, and its queries respect the variables. */
import { expect, test } from "bun:test";
import { dashboards } from "../../scripts/contrib/index.ts";
import { dashboardFiles, panelsOf } from "./dashboard-files.ts";

test("each dashboard has an id of its own, and uses no title twice", () => {
  expect(dashboardFiles().map(({ uid }) => uid)).toEqual(dashboards.map(({ id }) => id).toSorted());
  for (const file of dashboardFiles()) {
    const titles = panelsOf(file).map(({ title, type, datasource }) => `${type} ${title} ${datasource?.type}`);
    expect(titles).toEqual([...new Set(titles)]);
  }
});

test("panels have ids of their own, lie inside the grid, and do not overlap", () => {
  for (const file of dashboardFiles()) {
    const panels = panelsOf(file);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  }
});

test("every panel has a description in whole sentences and at least one query", () => {
  for (const { type, title, description = "", targets = [] } of dashboardFiles().flatMap(panelsOf)) {
    if (type === "row") continue;
    expect([title, description]).toEqual([title, expect.stringMatching(/^\S.+\.$/)]);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    expect(targets.length).toBeGreaterThan(0);
  }
});

test("every Prometheus query is limited to the chosen tailnet and instance, and every data source is a variable", () => {
  for (const file of dashboardFiles()) {
    const variables = new Set(file.templating.list.map(({ name }) => `\${${name}}`));
    for (const { targets = [] } of panelsOf(file))
      for (const { expr, datasource } of targets) {
        expect(variables).toContain(datasource.uid);
        if (datasource.type !== "prometheus") continue;
        const matchers = [...expr.matchAll(/\{([^}]*)/g)].map(([, text = ""]) => text);
        expect(matchers.length).toBeGreaterThan(0);
        for (const text of matchers) expect(text).toStartWith('tailscale_tailnet=~"$tailnet",instance=~"$instance"');
      }
  }
});
