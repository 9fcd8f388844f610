/** Builders for each kind of setting, as TypeBox schemas that also know how users write the value. */
import {
  type SchemaOptions,
  type TArray,
  type TLiteral,
  type TObject,
  type TProperties,
  type TSchema,
  Type,
} from "@sinclair/typebox";
import { parseBytes, parseDuration } from "../lib/units.ts";

/** In `Config`, a duration is in milliseconds and a size in bytes; addresses and paths are text. */
export type Kind =
  | ("boolean" | "bytes" | "choice" | "duration" | "integer" | "list" | "map" | "text")
  | ("directory" | "file" | "listen" | "route" | "secret" | "url");

/** What a schema carries under `setting`, in addition to TypeBox's own keywords. */
interface Annotation {
  readonly kind: Kind;
  /** The default as written by users. */
  readonly written: string;
  /** Never shown, because it is a secret or a map whose values may be secrets. */
  readonly isSecret: boolean;
  readonly choices: readonly string[];
  /** The kind of a map's entries, which decides how the name of a variable becomes the name of an entry. */
  readonly entry: "attribute" | "header" | undefined;
  /** A TOML value for the example file, if the default is not informative. */
  readonly example: string | undefined;
}

export interface Setting extends Annotation {
  /** As in TOML: `otlp.logs.max_bytes`. */
  readonly key: string;
  readonly path: readonly string[];
  /** `TS2OTEL_OTLP__LOGS__MAX_BYTES`. */
  readonly variable: string;
  readonly description: string;
  /** The default as stored in `Config`. */
  readonly default: unknown;
  /** Validates a value in the form stored in `Config`. */
  readonly schema: TSchema;
  /** For a setting in an array of tables: the key of the array and the index of the table. */
  readonly item?: Item | undefined;
}

export interface Item {
  readonly array: string;
  readonly index: number;
}

/** A table; the root has an empty key. */
export interface Section {
  readonly key: string;
  readonly path: readonly string[];
  readonly description: string;
  /** Settings directly in this section. */
  readonly settings: readonly Setting[];
  /** Names allowed in it: settings, their `_file` siblings, and tables. */
  readonly names: readonly string[];
  /** Set for a table in an array, and for the tables inside it. */
  readonly item?: Item | undefined;
}

/**
 * Every section in the order of the schema, starting with the root, each with its own settings. `tablesIn`: returns the number
 * of tables of an array; `most` is its maximum.
 */
export function sectionsOf(
  schema: TObject,
  tablesIn: (array: string, most: number) => number,
  path: readonly string[] = [],
  item?: Item,
): readonly Section[] {
  const settings: Setting[] = [];
  const names: string[] = [];
  const inner: Section[] = [];
  for (const [name, property] of Object.entries(schema.properties)) {
    names.push(name);
    const annotation: Annotation | undefined = property["setting"];
    if (property["type"] === "array" && annotation === undefined) {
      const { items, maxItems = 0 } = property as TArray<TObject>;
      const array = [...path, name].join(".");
      for (let index = 0; index < tablesIn(array, maxItems); index++)
        inner.push(...sectionsOf(items, tablesIn, [...path, name, String(index)], { array, index }));
      continue;
    }
    if (annotation === undefined) {
      inner.push(...sectionsOf(property as TObject, tablesIn, [...path, name], item));
      continue;
    }
    if (annotation.kind === "secret") names.push(`${name}_file`);
    settings.push({ ...annotation, ...namesOf([...path, name]), ...valueOf(property), item });
  }
  return [{ key: path.join("."), path, description: schema.description ?? "", settings, names, item }, ...inner];
}

/** The same setting in another table of its array. */
export function inTable(setting: Setting, index: number): Setting {
  const { item, path } = setting;
  if (item === undefined || item.index === index) return setting;
  const { array } = item;
  return { ...setting, ...namesOf(path.with(array.split(".").length, String(index))), item: { array, index } };
}

function namesOf(path: readonly string[]): Pick<Setting, "key" | "path" | "variable"> {
  return { key: path.join("."), path, variable: `TS2OTEL_${path.join("__").toUpperCase()}` };
}

function valueOf(schema: TSchema): Pick<Setting, "description" | "default" | "schema"> {
  return { description: schema.description ?? "", default: schema.default, schema };
}

/** A table of settings. */
export function section<Properties extends TProperties>(description: string, of: Properties) {
  return Type.Object(of, { description, default: {}, additionalProperties: false });
}

/** An array of at most `maxItems` tables. Each possible table has its own settings: `otlp.also.0.name`. */
export function arrayOf<Table extends TObject>(table: Table, maxItems: number) {
  return Type.Array(table, { default: [], maxItems });
}

export function boolean(value: boolean, description: string, example?: string) {
  return Type.Boolean(keywords("boolean", value, description, { example }));
}

export function integer(value: number, [minimum, maximum]: readonly [number, number], description: string) {
  return Type.Integer({ ...keywords("integer", value, description), minimum, maximum });
}

/** Milliseconds in `Config`, text such as `30s` in a file. The bounds are inclusive. */
export function duration(initial: string, bounds: readonly [string, string], description: string, example?: string) {
  const [value = 0, minimum = 0, maximum = 0] = [initial, ...bounds].map(parseDuration);
  const written = JSON.stringify(initial);
  return Type.Number({ ...keywords("duration", value, description, { example, written }), minimum, maximum });
}

/** Bytes in `Config`; a number or text such as `64MiB` in a file. A minimum of `-1` stands for any negative number. */
export function bytes(initial: string, least: string, description: string, example?: string) {
  const [value = 0, lowest = 0] = [initial, least].map(parseBytes);
  const minimum = lowest < 0 ? Number.MIN_SAFE_INTEGER : lowest;
  const written = value === 0 ? "0" : JSON.stringify(initial);
  const maximum = Number.MAX_SAFE_INTEGER;
  return Type.Integer({ ...keywords("bytes", value, description, { example, written }), minimum, maximum });
}

/** One word of a closed set. */
export function choice<const Choices extends readonly string[]>(
  choices: Choices,
  value: Choices[number],
  description: string,
) {
  const literals: TLiteral<Choices[number]>[] = choices.map((word) => Type.Literal(word));
  return Type.Union(literals, keywords("choice", value, description, { choices }));
}

/** A list of texts, from a closed set if there are choices; comma-separated in a variable. */
export function list(choices: readonly string[], value: readonly string[], description: string, example: string) {
  const item = choices.length === 0 ? Type.String() : Type.String({ pattern: `^(?:${choices.join("|")})$` });
  return Type.Array(item, keywords("list", [...value], description, { choices, example }));
}

/** Texts by name, with one variable per entry. Values of headers may be secrets. */
export function map(entry: "attribute" | "header", description: string, example: string) {
  const isSecret = entry === "header";
  return Type.Record(Type.String(), Type.String(), keywords("map", {}, description, { isSecret, entry, example }));
}

/** Never shown; has a `_file` sibling. It is sent in a header, so it must be printable ASCII without spaces. */
export function secret(description: string, example = "choose-a-long-random-text") {
  const options = keywords("secret", "", description, { isSecret: true, example: JSON.stringify(example) });
  return Type.String({ ...options, pattern: "^[\\x21-\\x7e]*$" });
}

/** One line of text. */
export function text(value: string, pattern: string, description: string, example: string) {
  return Type.String({ ...keywords("text", value, description, { example }), pattern });
}

/** An http or https URL; may be empty. */
export function url(value: string, description: string, example?: string) {
  return Type.String(keywords("url", value, description, { example }));
}

/** An address to listen on: `host:port`, or `:port` for every interface. */
export function listen(value: string, description: string) {
  return Type.String(keywords("listen", value, description));
}

/** The path of a URL. */
export function route(value: string, description: string) {
  return Type.String({ ...keywords("route", value, description), pattern: "^/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$" });
}

/** The path of a readable PEM file; may be empty. */
export function file(description: string, name: string) {
  return Type.String(keywords("file", "", description, { example: JSON.stringify(`/etc/tailscale2otel/${name}`) }));
}

/** The path of a directory, which is created if missing; may be empty. */
export function directory(description: string, example: string) {
  return Type.String(keywords("directory", "", description, { example }));
}

function keywords(
  kind: Kind,
  value: unknown,
  description: string,
  { written = JSON.stringify(value), isSecret = false, choices = [], entry, example }: Partial<Annotation> = {},
): SchemaOptions {
  const setting: Annotation = { kind, written, isSecret, choices, entry, example };
  return { description, default: value, setting };
}
