/** The configuration of each tailnet that one process serves, and the keys of its settings. */
import { join } from "node:path";
import { type Config, settings, type TailnetSection } from "./schema.ts";
import { overriddenBy } from "./schema-tailnet.ts";

export interface TailnetConfig {
  /** The name of its section; empty if there are no sections. */
  readonly name: string;
  /** Complete, as if the process served only this tailnet. */
  readonly config: Config;
  /** The key to write for a setting, a secret's file or a table so that it applies to this tailnet. */
  keyOf(key: string): string;
}

/** One per section, in order; without sections, the configuration itself. */
export function tailnetConfigs(config: Config): readonly [TailnetConfig, ...TailnetConfig[]] {
  const [first, ...others] = config.tailnet.map((section, index) => ({
    name: section.name,
    config: configOf(config, section),
    keyOf: (key: string) => keyInSection(key, index),
  }));
  return first === undefined ? [{ name: "", config, keyOf: (key) => key }] : [first, ...others];
}

/** Replaces keys in a text by those to write for one tailnet. */
export function withKeysOf({ keyOf }: Pick<TailnetConfig, "keyOf">, text: string): string {
  return text.replace(/\b(?:tailscale|collectors|streaming|webhook)\.[a-z_.]+\b/g, keyOf);
}

/** The value of `tailscale.tailnet` on points and log records, for the configuration of one tailnet; may be empty. */
export function tailnetName({ tailnet: [section], tailscale }: Pick<Config, "tailnet" | "tailscale">): string {
  if (section !== undefined) return section.name;
  return tailscale.tailnet === "-" ? "" : tailscale.tailnet;
}

/** The path at which a receiver knows the tailnet before it sees a token or signature. */
export function tailnetPath(name: string, path: string): string {
  return `/${name}${path}`;
}

/** The state directory of a tailnet inside that of the process. In-memory state needs none. */
export function statePathOf(path: string, name: string): string {
  return path === ":memory:" ? path : join(path, name);
}

/** The database schema of a tailnet, with underscores in place of dashes. */
export function schemaOf(schema: string, name: string): string {
  return `${schema}_${name.replaceAll("-", "_")}`;
}

/** The settings that a section has, by their keys without sections. */
export const sectionKeys: ReadonlySet<string> = new Set(
  settings.flatMap((setting) => (setting.item?.index === 0 ? (overriddenBy(setting) ?? []) : [])),
);

function configOf(shared: Config, section: TailnetSection): Config {
  const { name, ...own } = section;
  const config = overlaid(shared, own) as Config;
  const { state, streaming, webhook } = config;
  return {
    ...config,
    tailnet: [section],
    streaming: { ...streaming, public_url: publicUrl(name, streaming) },
    webhook: { ...webhook, public_url: publicUrl(name, webhook) },
    state: { ...state, path: statePathOf(state.path, name), schema: schemaOf(state.schema, name) },
  };
}

function keyInSection(key: string, index: number): string {
  const isIn = [...sectionKeys].some((own) => own === key || `${own}_file` === key || own.startsWith(`${key}.`));
  return isIn ? `tailnet.${index}.${key}` : key;
}

/**
 * A URL without a path gets the one that names the tailnet; any other path is kept, because the operator's proxy may rewrite
 * it.
 */
function publicUrl(name: string, { public_url: text, path }: Config["streaming" | "webhook"]): string {
  if (text === "" || new URL(text).pathname !== "/") return text;
  const url = new URL(text);
  url.pathname = tailnetPath(name, path);
  return url.href;
}

/** Merges tables and replaces other values. */
function overlaid(below: object, above: object): object {
  const entries = Object.entries(above).map(([name, value]: [string, unknown]) => {
    const under: unknown = (below as Record<string, unknown>)[name];
    return [name, isTable(value) && isTable(under) ? overlaid(under, value) : value] as const;
  });
  return { ...below, ...Object.fromEntries(entries) };
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
