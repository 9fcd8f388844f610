/** Builds a real Prometheus; run as a script, it prints the path. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const prometheusProgram: GoProgram = {
  name: "prometheus",
  module: "github.com/prometheus/prometheus",
  version: "v0.316.0",
  main: "github.com/prometheus/prometheus/cmd/prometheus",
  tags: "remove_all_sd",
};

/** Checks and tests rules. Kubernetes service discovery is left out, because it takes most of the build time. */
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
