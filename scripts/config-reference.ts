/** Generates everything derived from the settings: the reference, the commented example file, and the JSON Schema. */
import { otelVariables } from "../src/config/otel-variables.ts";
import { arrayKeys, sections } from "../src/config/schema.ts";
import type { Section, Setting } from "../src/config/setting.ts";
import { bytesPattern, durationPattern } from "../src/lib/units.ts";

const opening = `# Configuration

Settings come from four layers, each overriding the one before: defaults, a TOML file, environment variables, and \`--set key=value\`.
The file is the one named by \`--config\` or, failing that, \`$TS2OTEL_CONFIG\`. Otherwise it is \`./tailscale2otel.toml\` or, if that
does not exist, \`/etc/tailscale2otel/config.toml\`; a file found in one of these places must belong to you or to root, and must not be
writable by other users. A file that cannot be read is an error. Files must be regular files; only \`--config\` may also name a pipe, such
as \`--config <(sops decrypt config.toml)\` in bash, which must end within 10 s and cannot be reloaded.

\`tailscale2otel check\` shows every value with its origin, and every problem with its fix. \`--changed\` shows only what differs
from the defaults, and \`--strict\` fails on warnings too. Start from [configuration.example.toml](configuration.example.toml);
[config.schema.json](config.schema.json) lets an editor complete and check it.

- **Variables.** Every setting has one: \`TS2OTEL_\`, the key in capitals, and \`__\` between levels. Lists are separated by commas.
  Maps have one variable per entry: \`TS2OTEL_OTLP__HEADERS__X_SCOPE=team\`. Tables of an array are numbered from 0, in the order of
  the file: \`TS2OTEL_OTLP__ALSO__0__HEADERS__X_SCOPE=team\`, up to 7; a number that leaves a gap is an error. An empty variable counts as unset, except that an empty
  \`TS2OTEL_CONFIG\` is an error, like an empty \`--config\`. An unknown variable is a warning.
- **Durations** are \`"500ms"\`, \`"30s"\`, \`"5m"\`, \`"24h"\`, \`"7d"\`. **Sizes** are bytes, or \`"64MiB"\`.
- **Paths** of files are relative to the configuration file; in variables and flags, they are relative to the working directory.
- **Secrets** are never shown. Each has a sibling ending in \`_file\`: the path of a file that contains the secret and nothing else.
  Leading and trailing white space is ignored, and a change of the file is applied within seconds. Setting both is an error.
- **SIGHUP** reloads everything. Tokens, secrets, credentials, headers, certificates and the log level change at once; the log names the
  settings that need a restart and keep their running values until then. If an address changes as well, the token or credentials that
  belong to it change only at the restart. If the result would not be valid, nothing changes, and the log says why.
- An unknown key in the file is an error. A setting without effect is a warning.
`;

/** `docs/configuration.md`. */
export function referencePage(): string {
  return [opening, ...shownSections.map(sectionText), otelText()].join("\n");
}

/** The first table of an array stands for all of them. */
const shownSections = sections.filter(({ settings, item }) => settings.length > 0 && (item?.index ?? 0) === 0);

/** The section's TOML header. Inside an array, it refers to the table begun last. */
function headerOf({ key, item }: Section): string {
  if (item === undefined) return `[${key}]`;
  const inItem = key.slice(`${item.array}.${item.index}`.length);
  return inItem === "" ? `[[${item.array}]]` : `[${item.array}${inItem}]`;
}

/** `docs/configuration.example.toml`: every setting, commented out, so that the unedited file changes nothing. */
export function exampleFile(): string {
  const parts = shownSections.map((section) => {
    const settings = section.settings.map(exampleSetting).join("\n");
    if (section.key === "") return settings;
    const comment = wrap(section.description, 110).map((line) => `# ${line}\n`);
    // The header of an array's table would add a table even without settings.
    const header = `${section.item === undefined ? "" : "#"}${headerOf(section)}`;
    return `${comment.join("")}${header}\n\n${settings}`;
  });
  return `${exampleHead}\n${parts.join("\n")}`;
}

/** The three settings named here are enough to start; a test fills them in. */
const exampleHead = `# Configuration of tailscale2otel: every setting, commented out. A line shows the default, or an example
# with the default behind it.
#
# This file is not valid until you fill in three settings, which poll the flow and audit logs and export them:
#
#   [tailscale.auth.oauth]  client_id and client_secret, of a client with the scopes below
#   [otlp]                  endpoint
#
# To receive log streaming instead of polling: [streaming] enabled and token, and "stream" as source in
# [collectors.flowlogs] and [collectors.auditlogs]. Then run: tailscale2otel check --config <this file>
`;

/** The description with the allowed words. */
function described({ kind, description, choices }: Setting): string {
  return choices.length === 0
    ? description
    : `${description} ${kind === "list" ? "Any" : "One"} of ${choices.map((word) => `\`${word}\``).join(", ")}.`;
}

function sectionText(section: Section): string {
  const name = section.item === undefined ? section.key : headerOf(section);
  const title = section.key === "" ? "## Log lines" : `## ${name}\n\n${section.description}`;
  const rows = section.settings.flatMap(rowsOf);
  return `${title}\n\n| setting | default | variable | description |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`;
}

function rowsOf(setting: Setting): readonly string[] {
  const name = (key: string) => `\`${key.slice(key.lastIndexOf(".") + 1)}\``;
  const variable = setting.kind === "map" ? `${setting.variable}__…` : setting.variable;
  const row = (first: string, value: string, second: string, text: string) =>
    `| ${[first, value === "" ? "" : `\`${value}\``, `\`${second}\``, text.replaceAll("|", "\\|")].join(" | ")} |`;
  const own = row(name(setting.key), setting.written, variable, described(setting));
  if (setting.kind !== "secret") return [own];
  return [
    own,
    row(name(`${setting.key}_file`), "", `${setting.variable}_FILE`, "Path of a file that contains the value."),
  ];
}

function otelText(): string {
  const rows = otelVariables.map(([variable, key]) => `| \`${variable}\` | \`${key}\` |`);
  return `## OpenTelemetry's own variables

They apply to settings that are given nowhere else: not in the file, not as a \`TS2OTEL_\` variable, and not as a flag. Resource
attributes are combined. The protocol \`grpc\` is not supported: it causes a warning, and the default is used.

| variable | sets |
| --- | --- |
${rows.join("\n")}
`;
}

function exampleSetting(setting: Setting): string {
  const name = setting.path.at(-1) ?? setting.key;
  const comment = wrap(described(setting), 110).map((line) => `# ${line}\n`);
  const isDefault = setting.example === undefined;
  const mark = setting.item === undefined ? "# " : "#";
  return `${comment.join("")}${mark}${name} = ${setting.example ?? setting.written}${isDefault ? "" : `  # default: ${setting.written}`}\n`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

type JsonSchema = { readonly [keyword: string]: unknown };

/** `docs/config.schema.json`: describes what may be written in a file, not the resulting values. Draft 7, which TOML editors understand. */
export function configJsonSchema(): JsonSchema {
  const [root] = sections;
  if (root === undefined) throw new TypeError("the schema has no root");
  return { $schema: "http://json-schema.org/draft-07/schema#", title: "tailscale2otel", ...tableOf(root) };
}

function tableOf(section: Section): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  for (const name of section.names) {
    const path = [...section.path, name];
    const key = path.join(".");
    const setting = section.settings.find((candidate) => candidate.key === key);
    const table = sections.find((candidate) => candidate.key === key);
    const first = sections.find((candidate) => candidate.key === `${key}.0`);
    if (setting !== undefined) properties[name] = valueSchema(setting);
    else if (table !== undefined) properties[name] = tableOf(table);
    else if (first !== undefined)
      properties[name] = { type: "array", maxItems: arrayKeys.get(key), items: tableOf(first) };
    else
      properties[name] = {
        type: "string",
        description: `Path of a file that contains ${name.replace(/_file$/, "")} and nothing else.`,
      };
  }
  return { type: "object", description: section.description, properties, additionalProperties: false };
}

function valueSchema(setting: Setting): JsonSchema {
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
