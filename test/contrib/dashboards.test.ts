/** The dashboards as files: Grafana can place every panel, each says what it shows, and their queries are worth asking. */
import { expect, test } from "bun:test";
import { dashboards } from "../../scripts/contrib/index.ts";
import { dashboardFiles, panelsOf } from "./dashboard-files.ts";

test("each is found under an id of its own, and no title is used twice in one", () => {
  expect(dashboardFiles().map(({ uid }) => uid)).toEqual(dashboards.map(({ id }) => id).toSorted());
  for (const file of dashboardFiles()) {
    const titles = panelsOf(file).map(({ title, type, datasource }) => `${type} ${title} ${datasource?.type}`);
    expect(titles).toEqual([...new Set(titles)]);
  }
});

test("panels have ids of their own, lie inside the grid, and do not cover each other", () => {
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

test("every panel says what it shows, as whole sentences, and asks something", () => {
  for (const { type, title, description = "", targets = [] } of dashboardFiles().flatMap(panelsOf)) {
    if (type === "row") continue;
    expect([title, description]).toEqual([title, expect.stringMatching(/^\S.+\.$/)]);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    expect(targets.length).toBeGreaterThan(0);
  }
});

test("every query to Prometheus keeps to the chosen tailnet and instance, and every data source is a variable", () => {
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
