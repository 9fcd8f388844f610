/** Finds the setting that a key or a variable names, and the one that somebody meant. */
import { nearest } from "../lib/suggest.ts";
import type { Problem } from "./diagnosis.ts";
import type { Section, Setting } from "./walk.ts";

/** What a name stands for: a setting, the file of a secret, or one entry of a map. */
export interface Target {
  readonly setting: Setting;
  readonly part: "value" | "secretFile" | { readonly entry: string };
}

export interface Names {
  /** By the parts of its key. A map without an entry is found as `value`. */
  key(path: readonly string[]): Target | undefined;
  variable(name: string): Target | undefined;
  nearestKey(key: string): string | undefined;
  nearestVariable(name: string): string | undefined;
  /** Whether a key is a table. */
  isSection(key: string): boolean;
  /** The names that may stand in the table which this key would lie in. */
  neighbours(path: readonly string[]): readonly string[];
}

/** The variable that names the configuration file. */
export const configVariable = "TS2OTEL_CONFIG";

export function createNames(sections: readonly Section[]): Names {
  const settings = sections.flatMap((section) => section.settings);
  const byKey = new Map<string, Target>();
  const byVariable = new Map<string, Target>();
  const maps = settings.filter((setting) => setting.kind === "map");
  for (const setting of settings) {
    byKey.set(setting.key, { setting, part: "value" });
    if (setting.kind !== "map") byVariable.set(setting.variable, { setting, part: "value" });
    if (setting.kind !== "secret") continue;
    byKey.set(`${setting.key}_file`, { setting, part: "secretFile" });
    byVariable.set(`${setting.variable}_FILE`, { setting, part: "secretFile" });
  }
  const sectionKeys = new Map(sections.map((section) => [section.key, section]));

  return {
    key(path) {
      const target = byKey.get(path.join("."));
      if (target !== undefined) return target;
      const setting = maps.find((map) => map.path.every((name, index) => path[index] === name));
      return setting && { setting, part: { entry: path.slice(setting.path.length).join(".") } };
    },
    variable(name) {
      const target = byVariable.get(name);
      if (target !== undefined) return target;
      const setting = maps.find((map) => name.startsWith(`${map.variable}__`) && name.length > map.variable.length + 2);
      return setting && { setting, part: { entry: name.slice(setting.variable.length + 2) } };
    },
    nearestKey: (key) =>
      nearest(
        key,
        [...byKey.keys(), ...sectionKeys.keys()].filter((known) => known !== ""),
      ),
    nearestVariable: (name) => {
      const prefix = "TS2OTEL_";
      const known = [configVariable, ...byVariable.keys()].map((variable) => variable.slice(prefix.length));
      const found = nearest(name.slice(prefix.length), known);
      return found === undefined ? undefined : prefix + found;
    },
    isSection: (key) => sectionKeys.has(key),
    neighbours(path) {
      for (let depth = path.length - 1; depth >= 0; depth--) {
        const section = sectionKeys.get(path.slice(0, depth).join("."));
        if (section !== undefined) return section.names;
      }
      return [];
    },
  };
}

/** What to write instead of a key that no setting has: the nearest one, or else those of its table. */
export function unknownKeyHelp(
  names: Names,
  path: readonly string[],
  meant: string | undefined,
): Pick<Problem, "allowed" | "remedy"> {
  if (meant !== undefined) return { remedy: `Did you mean ${meant}?` };
  return { allowed: names.neighbours(path).join(", "), remedy: "Remove it; the reference lists every setting." };
}
