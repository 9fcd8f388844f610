/** Builds a real VictoriaLogs. Run as a script it builds and names the file. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const victoriaLogsProgram: GoProgram = {
  name: "victorialogs",
  module: "github.com/VictoriaMetrics/VictoriaLogs",
  version: "v1.52.1",
  main: "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(victoriaLogsProgram)}\n`);
