/** The one walk over the schema: a flat list of settings and sections, from which everything else is derived. */
import type { TObject, TSchema } from "@sinclair/typebox";
import type { Annotation } from "./setting.ts";

export interface Setting extends Annotation {
  /** As in TOML: `otlp.logs.max_bytes`. */
  readonly key: string;
  readonly path: readonly string[];
  /** `TS2OTEL_OTLP__LOGS__MAX_BYTES`. */
  readonly variable: string;
  readonly description: string;
  /** The default as it stands in `Config`. */
  readonly default: unknown;
  /** Judges a value in the form it has in `Config`. */
  readonly schema: TSchema;
}

/** A table; the root has an empty key. */
export interface Section {
  readonly key: string;
  readonly path: readonly string[];
  readonly description: string;
  /** The settings that lie directly in it. */
  readonly settings: readonly Setting[];
  /** The names that may stand in it: settings, their `_file` siblings, and tables. */
  readonly names: readonly string[];
}

/** Every section in the order of the schema, the root first, each with its own settings. */
export function sectionsOf(schema: TObject, path: readonly string[] = []): readonly Section[] {
  const settings: Setting[] = [];
  const names: string[] = [];
  const inner: Section[] = [];
  for (const [name, property] of Object.entries(schema.properties)) {
    names.push(name);
    const annotation: Annotation | undefined = property["setting"];
    if (annotation === undefined) {
      inner.push(...sectionsOf(property as TObject, [...path, name]));
      continue;
    }
    if (annotation.kind === "secret") names.push(`${name}_file`);
    settings.push(settingOf([...path, name], annotation, property));
  }
  const own: Section = { key: path.join("."), path, description: schema.description ?? "", settings, names };
  return [own, ...inner];
}

/** Every setting in the order of the schema. */
export function settingsOf(schema: TObject): readonly Setting[] {
  return sectionsOf(schema).flatMap((one) => one.settings);
}

/** The variable of a path: capitals, `__` between levels. */
export function variableOf(path: readonly string[]): string {
  return `TS2OTEL_${path.join("__").toUpperCase()}`;
}

function settingOf(path: readonly string[], annotation: Annotation, schema: TSchema): Setting {
  return {
    ...annotation,
    key: path.join("."),
    path,
    variable: variableOf(path),
    description: schema.description ?? "",
    default: schema.default,
    schema,
  };
}
