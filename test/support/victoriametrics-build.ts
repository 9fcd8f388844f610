/** Builds a real VictoriaMetrics. Run as a script it builds and names the file. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const victoriaMetricsProgram: GoProgram = {
  name: "victoriametrics",
  module: "github.com/VictoriaMetrics/VictoriaMetrics",
  version: "v1.122.0",
  main: "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(victoriaMetricsProgram)}\n`);
