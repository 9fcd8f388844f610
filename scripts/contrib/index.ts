/** The generated files of `contrib/`: Grafana dashboards and Prometheus rules. */
import { changes } from "./changes.ts";
import { flows } from "./flows.ts";
import { type Dashboard, dashboardJson } from "./grafana.ts";
import { health } from "./health.ts";
import { nameOf } from "./promql.ts";
import { rulesFile, rulesTestFile } from "./rules.ts";

export const dashboards: readonly Dashboard[] = [flows, changes, health];

/** Each file's path, and the function that renders it. */
export const contribFiles: readonly { readonly path: string; readonly render: () => string }[] = [
  ...dashboards.map((dashboard) => ({
    path: `contrib/grafana/${dashboard.id}.json`,
    render: () => dashboardJson(dashboard, nameOf("tailscale2otel.up")),
  })),
  { path: "contrib/prometheus/tailscale2otel.rules.yml", render: rulesFile },
  { path: "contrib/prometheus/tailscale2otel.rules.test.yml", render: rulesTestFile },
];
