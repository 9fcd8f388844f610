/** The settings given on the command line: `--set key=value`. */
import { emptyLayer, type Layer } from "./layer.ts";
import { type Names, unknownKeyHelp } from "./names.ts";

export function readFlagLayer(names: Names, assignments: readonly string[]): Layer {
  const layer = emptyLayer();
  for (const assignment of assignments) {
    const cut = assignment.indexOf("=");
    const key = (cut === -1 ? assignment : assignment.slice(0, cut)).trim();
    const path = key.split(".");
    const origin = { from: "flag", key } as const;
    const target = names.key(path);
    if (target === undefined) {
      const meant = names.nearestKey(key);
      if (meant !== undefined) layer.meant.push(meant);
      layer.problems.push({
        origin,
        key,
        message: "there is no such setting",
        ...unknownKeyHelp(names, path, meant),
      });
    } else if (cut === -1) {
      layer.problems.push({ origin, key, message: "the value is missing", remedy: `Write --set ${key}=value.` });
    } else {
      layer.given.push({ ...target, origin, written: assignment.slice(cut + 1), form: "text" });
    }
  }
  return layer;
}
