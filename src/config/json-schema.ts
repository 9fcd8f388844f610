/** The JSON Schema of a configuration file, for editors: what may be written, not what it becomes. */
import { bytesPattern } from "../lib/bytes.ts";
import { durationPattern } from "../lib/duration.ts";
import { configSchema } from "./schema.ts";
import { type Section, type Setting, sectionsOf } from "./walk.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

/** Draft 7, which editors for TOML understand. */
export function configJsonSchema(): JsonSchema {
  const sections = sectionsOf(configSchema);
  const [root] = sections;
  if (root === undefined) throw new TypeError("the schema has no root");
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "tailscale2otel",
    ...tableOf(root, sections),
  };
}

function tableOf(section: Section, sections: readonly Section[]): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  for (const name of section.names) {
    const path = [...section.path, name];
    const key = path.join(".");
    const setting = section.settings.find((candidate) => candidate.key === key);
    const table = sections.find((candidate) => candidate.key === key);
    if (setting !== undefined) properties[name] = valueOf(setting);
    else if (table !== undefined) properties[name] = tableOf(table, sections);
    else properties[name] = { type: "string", description: `A file that holds ${name.replace(/_file$/, "")}, alone.` };
  }
  return { type: "object", description: section.description, properties, additionalProperties: false };
}

function valueOf(setting: Setting): JsonSchema {
  const { minimum, maximum, pattern } = setting.schema as { minimum?: number; maximum?: number; pattern?: string };
  const annotations = { description: setting.description, default: JSON.parse(setting.written) };
  switch (setting.kind) {
    case "boolean":
      return { type: "boolean", ...annotations };
    case "integer":
      return { type: "integer", minimum, ...(maximum === Number.MAX_SAFE_INTEGER ? {} : { maximum }), ...annotations };
    case "duration":
      return { type: "string", pattern: durationPattern, ...annotations };
    case "bytes":
      return { type: ["integer", "string"], minimum, pattern: bytesPattern, ...annotations };
    case "choice":
      return { enum: setting.choices, ...annotations };
    case "list":
      return {
        type: "array",
        items: setting.choices.length === 0 ? { type: "string" } : { enum: setting.choices },
        ...annotations,
      };
    case "map":
      return { type: "object", additionalProperties: { type: "string" }, ...annotations };
    case "url":
      return { type: "string", pattern: "^$|^https?://", ...annotations };
    case "directory":
    case "file":
    case "listen":
      return { type: "string", ...annotations };
    case "route":
    case "secret":
    case "text":
      return { type: "string", pattern, ...annotations };
  }
}
