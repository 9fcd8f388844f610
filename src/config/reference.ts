/** The reference of all settings as Markdown, and the commented example file. */
import { otelVariables } from "./layer-otel.ts";
import { configSchema } from "./schema.ts";
import { type Section, type Setting, sectionsOf } from "./walk.ts";

const opening = `# Configuration

Defaults, then a TOML file, then environment variables, then \`--set key=value\`: what comes later wins. The file is the one that
\`--config\` names, else \`$TS2OTEL_CONFIG\`, else \`./tailscale2otel.toml\`, else \`/etc/tailscale2otel/config.toml\`.
\`tailscale2otel check\` shows every value with where it comes from, and every problem and its fix.
[configuration.example.toml](configuration.example.toml) is a file to begin with, and
[config.schema.json](config.schema.json) lets an editor complete and check it.

- **Variables.** Every setting has one: \`TS2OTEL_\`, the key in capitals, \`__\` between levels. Lists are separated by commas. A map
  has one variable an entry: \`TS2OTEL_OTLP__HEADERS__X_SCOPE=team\`. An empty variable counts as unset, and one that nobody knows
  is a warning.
- **Durations** are \`"500ms"\`, \`"30s"\`, \`"5m"\`, \`"24h"\`, \`"7d"\`. **Sizes** are bytes, or \`"64MiB"\`.
- **Secrets** are never shown. Each has a sibling that ends in \`_file\` and names a file with the secret alone in it; white
  space at its ends is removed, and a change is taken over within seconds. To set both is an error.
- **SIGHUP** reads everything again. Tokens, secrets, credentials, headers, the receivers' TLS files and the log level hold at once; for the rest,
  the log says that it needs a restart.
- An unknown key in the file is an error. A setting that has no effect is a warning.
`;

/** `docs/configuration.md`. */
export function referencePage(): string {
  const tables = sectionsOf(configSchema).filter((section) => section.settings.length > 0);
  return [opening, ...tables.map(sectionText), otelText()].join("\n");
}

/** `docs/configuration.example.toml`: every setting, commented out, so that the file as it is changes nothing. */
export function exampleFile(): string {
  const parts = sectionsOf(configSchema)
    .filter((section) => section.settings.length > 0)
    .map((section) => {
      const settings = section.settings.map(exampleSetting).join("\n");
      return section.key === "" ? settings : `# ${section.description}\n[${section.key}]\n\n${settings}`;
    });
  const head = "# Configuration of tailscale2otel. Every setting is here; one that is commented out has its default.\n";
  return `${head}\n${parts.join("\n")}`;
}

function sectionText(section: Section): string {
  const title = section.key === "" ? "## Log lines" : `## ${section.key}\n\n${section.description}`;
  const rows = section.settings.flatMap(rowsOf);
  return `${title}\n\n| setting | default | variable | |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`;
}

function rowsOf(setting: Setting): readonly string[] {
  const name = (key: string) => `\`${key.slice(key.lastIndexOf(".") + 1)}\``;
  const variable = setting.kind === "map" ? `${setting.variable}__…` : setting.variable;
  const choices =
    setting.choices.length === 0 ? "" : ` One of ${setting.choices.map((word) => `\`${word}\``).join(", ")}.`;
  const row = (first: string, value: string, second: string, text: string) =>
    `| ${[first, value === "" ? "" : `\`${value}\``, `\`${second}\``, text.replaceAll("|", "\\|")].join(" | ")} |`;
  const own = row(name(setting.key), setting.written, variable, setting.description + choices);
  if (setting.kind !== "secret") return [own];
  return [own, row(name(`${setting.key}_file`), "", `${setting.variable}_FILE`, "A file that holds it.")];
}

function otelText(): string {
  const rows = otelVariables.map(([variable, key]) => `| \`${variable}\` | \`${key}\` |`);
  return `## Standard variables

Those of OpenTelemetry exporters serve where the setting is given neither in the file nor as a variable of ours nor as a flag.
\`grpc\` is not spoken here: it gives a warning, and the default is used.

| variable | stands in for |
| --- | --- |
${rows.join("\n")}
`;
}

function exampleSetting(setting: Setting): string {
  const name = setting.path.at(-1) ?? setting.key;
  const choices = setting.choices.length === 0 ? "" : ` One of ${setting.choices.join(", ")}.`;
  const comment = wrap(setting.description.replaceAll("`", "") + choices, 110).map((line) => `# ${line}\n`);
  const isDefault = setting.example === undefined;
  return `${comment.join("")}# ${name} = ${setting.example ?? setting.written}${isDefault ? "" : `  # default: ${setting.written}`}\n`;
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
