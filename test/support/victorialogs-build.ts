/** Builds a real VictoriaLogs; run as a script, it prints the path. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const victoriaLogsProgram: GoProgram = {
  name: "victorialogs",
  module: "github.com/VictoriaMetrics/VictoriaLogs",
  version: "v1.52.1",
  main: "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(victoriaLogsProgram)}\n`);
