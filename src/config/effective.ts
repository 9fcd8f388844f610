/** The effective configuration as rows: what `check` shows. */
import { describeOrigin } from "./diagnosis.ts";
import { displayValue, redacted } from "./display.ts";
import type { Loaded } from "./load.ts";
import { type Config, configSchema } from "./schema.ts";
import { valueOf } from "./view.ts";
import { type Setting, settingsOf } from "./walk.ts";

export interface EffectiveRow {
  readonly key: string;
  /** As it would be written in TOML; `[redacted]` for a secret. */
  readonly value: string;
  /** `default`, `file:line`, a variable, or a flag. */
  readonly origin: string;
  readonly isDefault: boolean;
}

/** One row a setting in the order of the schema; a map has a row for each entry. */
export function effectiveRows({ config, origins }: Pick<Loaded, "config" | "origins">): readonly EffectiveRow[] {
  return settingsOf(configSchema).flatMap((setting) => {
    const value = valueOf(config, setting);
    const entries = setting.kind === "map" ? Object.entries(value as Record<string, string>) : [];
    if (entries.length === 0) return [rowOf(setting.key, displayEmpty(setting, value), origins)];
    return entries.map(([name, text]) =>
      rowOf(`${setting.key}.${name}`, setting.isSecret ? redacted : JSON.stringify(text), origins),
    );
  });
}

/** The keys whose values differ between two configurations. */
export function changedKeys(before: Config, after: Config): readonly string[] {
  return settingsOf(configSchema)
    .filter((setting) => JSON.stringify(valueOf(before, setting)) !== JSON.stringify(valueOf(after, setting)))
    .map((setting) => setting.key);
}

function displayEmpty(setting: Setting, value: unknown): string {
  return setting.kind === "map" ? "{}" : displayValue(setting, value);
}

function rowOf(key: string, value: string, origins: Loaded["origins"]): EffectiveRow {
  const origin = origins.get(key) ?? { from: "default" };
  return { key, value, origin: describeOrigin(origin), isDefault: origin.from === "default" };
}
