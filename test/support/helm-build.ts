/** Builds the real helm; run as a script, it prints the path. */
import { buildGoProgram, type GoProgram } from "./go-build.ts";

export const helmProgram: GoProgram = {
  name: "helm",
  module: "helm.sh/helm/v3",
  version: "v3.22.0",
  main: "helm.sh/helm/v3/cmd/helm",
};

if (import.meta.main) process.stdout.write(`${buildGoProgram(helmProgram)}\n`);
