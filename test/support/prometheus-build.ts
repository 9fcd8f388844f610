/** Builds a real Prometheus. Run as a script it builds and names the file. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const prometheusProgram: GoProgram = {
  name: "prometheus",
  module: "github.com/prometheus/prometheus",
  version: "v0.316.0",
  main: "github.com/prometheus/prometheus/cmd/prometheus",
  tags: "remove_all_sd",
};

/** Checks and tests rules. Without the discovery of Kubernetes, which would take most of the time to build. */
export const promtoolProgram: GoProgram = {
  ...prometheusProgram,
  name: "promtool",
  main: "github.com/prometheus/prometheus/cmd/promtool",
  edit: (source) =>
    source
      .replace(/^\t"github.com\/prometheus\/prometheus\/discovery\/kubernetes"\n/m, "")
      .replace(/^\t*case \*kubernetes\.SDConfig:\n(?:\t{4}.*\n)+/m, ""),
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(prometheusProgram)}\n`);
