/** Builds a real VictoriaMetrics; run as a script, it prints the path. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const victoriaMetricsProgram: GoProgram = {
  name: "victoriametrics",
  module: "github.com/VictoriaMetrics/VictoriaMetrics",
  version: "v1.122.0",
  main: "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(victoriaMetricsProgram)}\n`);
