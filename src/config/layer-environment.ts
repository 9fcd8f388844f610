/** The settings in `TS2OTEL_*` variables. */
import { emptyLayer, type Layer } from "./layer.ts";
import { configVariable, type Names } from "./names.ts";
import type { Warning } from "./diagnosis.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** An empty variable counts as unset. One that nobody knows is a warning: it may belong to another program. */
export function readEnvironmentLayer(names: Names, environment: Environment): Layer {
  const layer = emptyLayer();
  for (const variable of Object.keys(environment).sort()) {
    if (!variable.toUpperCase().startsWith("TS2OTEL_") || variable === configVariable) continue;
    const target = names.variable(variable);
    if (target === undefined) {
      layer.warnings.push(unknownVariable(names, variable));
      continue;
    }
    const text = environment[variable];
    if (text === undefined || text === "") continue;
    layer.given.push({ ...target, origin: { from: "environment", variable }, written: text, form: "text" });
  }
  return layer;
}

function unknownVariable(names: Names, variable: string): Warning {
  const path = variable.slice("TS2OTEL_".length).toLowerCase().split("__");
  const target = names.key(path);
  if (target?.setting.kind === "map" && target.part === "value") {
    return {
      key: variable,
      message: "this variable has no effect: the setting is a map",
      remedy: `Write one variable for each entry: ${variable}__NAME=text.`,
    };
  }
  const meant = names.nearestVariable(variable.toUpperCase());
  return {
    key: variable.slice(0, 200),
    message: "no setting has this variable, so it has no effect",
    remedy: meant === undefined ? "Remove it; the reference lists every variable." : `Did you mean ${meant}?`,
  };
}
