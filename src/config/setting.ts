/** What a setting can be: one builder a kind, each a TypeBox schema that also knows how people write the value. */
import {
  type SchemaOptions,
  type TArray,
  type TBoolean,
  type TInteger,
  type TLiteral,
  type TNumber,
  type TObject,
  type TProperties,
  type TRecord,
  type TString,
  type TUnion,
  Type,
} from "@sinclair/typebox";
import { parseBytes } from "../lib/bytes.ts";
import { parseDuration } from "../lib/duration.ts";

/** The closed set of kinds. In `Config` a duration is milliseconds, a size bytes; what names a place is text. */
export type Kind =
  | "boolean"
  | "bytes"
  | "choice"
  | "directory"
  | "duration"
  | "file"
  | "integer"
  | "list"
  | "listen"
  | "map"
  | "route"
  | "secret"
  | "text"
  | "url";

/** What a map's entries are, which decides how a variable's name becomes an entry's name. */
export type EntryKind = "attribute" | "header";

/** What a schema carries beside TypeBox's own keywords, under `setting`. */
export interface Annotation {
  readonly kind: Kind;
  /** The default as people write it. */
  readonly written: string;
  /** Never shown: a secret, or a map whose values may be secrets. */
  readonly isSecret: boolean;
  readonly choices: readonly string[];
  readonly entry: EntryKind | undefined;
  /** A value for the example file where the default says too little, as TOML. */
  readonly example: string | undefined;
}

interface Common {
  readonly description: string;
  readonly example?: string;
}

/** A table of settings. */
export function section<Properties extends TProperties>(
  description: string,
  properties: Properties,
): TObject<Properties> {
  return Type.Object(properties, { description, default: {}, additionalProperties: false });
}

export function boolean(options: Common & { readonly default: boolean }): TBoolean {
  return Type.Boolean(keywords("boolean", options, options.default, String(options.default)));
}

export function integer(
  options: Common & { readonly default: number; readonly minimum: number; readonly maximum?: number },
): TInteger {
  const { minimum, maximum = Number.MAX_SAFE_INTEGER } = options;
  return Type.Integer({
    ...keywords("integer", options, options.default, String(options.default)),
    minimum,
    maximum,
  });
}

/** Milliseconds in `Config`, text such as `30s` in a file. */
export function duration(
  options: Common & { readonly default: string; readonly minimum: string; readonly maximum: string },
): TNumber {
  return Type.Number({
    ...keywords("duration", options, definite(parseDuration(options.default)), JSON.stringify(options.default)),
    minimum: definite(parseDuration(options.minimum)),
    maximum: definite(parseDuration(options.maximum)),
  });
}

/** Bytes in `Config`; a number or text such as `64MiB` in a file. */
export function bytes(options: Common & { readonly default: string; readonly minimum: string }): TInteger {
  const value = definite(parseBytes(options.default));
  return Type.Integer({
    ...keywords("bytes", options, value, value === 0 ? "0" : JSON.stringify(options.default)),
    minimum: definite(parseBytes(options.minimum)),
    maximum: Number.MAX_SAFE_INTEGER,
  });
}

/** One of a closed set of words. */
export function choice<const Choices extends readonly string[]>(
  options: Common & { readonly choices: Choices; readonly default: Choices[number] },
): TUnion<TLiteral<Choices[number]>[]> {
  const literals = options.choices.map((word) => Type.Literal<Choices[number]>(word));
  return Type.Union(literals, {
    ...keywords("choice", options, options.default, JSON.stringify(options.default), { choices: options.choices }),
  });
}

/** Several texts, of a closed set where there are choices; comma-separated in a variable. */
export function list(
  options: Common & { readonly choices?: readonly string[]; readonly default?: readonly string[] },
): TArray<TString> {
  const { choices = [], default: value = [] } = options;
  const item = choices.length === 0 ? Type.String() : Type.String({ pattern: `^(?:${choices.join("|")})$` });
  return Type.Array(item, keywords("list", options, [...value], JSON.stringify(value), { choices }));
}

/** Names with texts; one variable an entry. Values that may be secrets are not shown. */
export function map(
  options: Common & { readonly entry: EntryKind; readonly secrecy: "open" | "secret" },
): TRecord<TString, TString> {
  const isSecret = options.secrecy === "secret";
  return Type.Record(
    Type.String(),
    Type.String(),
    keywords("map", options, {}, "{}", { isSecret, entry: options.entry }),
  );
}

/** Never shown; has a `_file` sibling. What travels in a header: printable ASCII without spaces. */
export function secret(options: Common): TString {
  return Type.String({ ...keywords("secret", options, "", '""', { isSecret: true }), pattern: "^[\\x21-\\x7e]*$" });
}

/** One line of text. */
export function text(options: Common & { readonly default?: string; readonly pattern?: string }): TString {
  const { default: value = "", pattern = "^[^\\x00-\\x1f\\x7f]*$" } = options;
  return Type.String({ ...keywords("text", options, value, JSON.stringify(value)), pattern });
}

/** An http or https address; may be empty. */
export function url(options: Common & { readonly default?: string }): TString {
  const { default: value = "" } = options;
  return Type.String(keywords("url", options, value, JSON.stringify(value)));
}

/** Where to listen: `host:port`, or `:port` for every interface. */
export function listen(options: Common & { readonly default: string }): TString {
  return Type.String(keywords("listen", options, options.default, JSON.stringify(options.default)));
}

/** The path of a URL. */
export function route(options: Common & { readonly default: string }): TString {
  return Type.String({
    ...keywords("route", options, options.default, JSON.stringify(options.default)),
    pattern: "^/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$",
  });
}

/** The path of a file that must be readable; may be empty. */
export function file(options: Common): TString {
  return Type.String(keywords("file", options, "", '""'));
}

/** A directory, made where it is missing, or `:memory:`. */
export function directory(options: Common): TString {
  return Type.String(keywords("directory", options, "", '""'));
}

function keywords(
  kind: Kind,
  options: Common,
  value: unknown,
  written: string,
  more: Partial<Pick<Annotation, "isSecret" | "choices" | "entry">> = {},
): SchemaOptions {
  const setting: Annotation = {
    kind,
    written,
    isSecret: more.isSecret ?? false,
    choices: more.choices ?? [],
    entry: more.entry,
    example: options.example,
  };
  return { description: options.description, default: value, setting };
}

function definite(value: number | undefined): number {
  if (value === undefined) throw new TypeError("a default or a bound in the schema cannot be read");
  return value;
}
