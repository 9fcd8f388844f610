/** A configuration as rules and warnings look at it. */
import type { Origin } from "./diagnosis.ts";
import type { Config } from "./schema.ts";
import type { Setting } from "./walk.ts";

export interface View {
  readonly config: Config;
  readonly settings: readonly Setting[];
  readonly origins: ReadonlyMap<string, Origin>;
  /** Keys with a mistake of their own. */
  readonly broken: ReadonlySet<string>;
}

/** Where the setting was given; `undefined` where it has its default. A map is given where its first entry is. */
export function givenAt({ origins }: View, key: string): Origin | undefined {
  const origin = origins.get(key) ?? firstEntry(origins, `${key}.`);
  return origin === undefined || origin.from === "default" ? undefined : origin;
}

/** The value of a setting in a configuration. */
export function valueOf(config: Config, setting: Setting): unknown {
  return setting.path.reduce<unknown>((table, name) => (table as Record<string, unknown>)[name], config);
}

function firstEntry(origins: ReadonlyMap<string, Origin>, prefix: string): Origin | undefined {
  for (const [key, origin] of origins) if (key.startsWith(prefix)) return origin;
  return undefined;
}
