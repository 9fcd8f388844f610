/** Builds a real Prometheus. Run as a script it builds and names the file. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const prometheusProgram: GoProgram = {
  name: "prometheus",
  module: "github.com/prometheus/prometheus",
  version: "v0.316.0",
  main: "github.com/prometheus/prometheus/cmd/prometheus",
  tags: "remove_all_sd",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(prometheusProgram)}\n`);
