/** Writes converted settings as TOML, under comments with remarks for the user. */
import { sections } from "../config/schema.ts";
import { printable } from "../lib/text.ts";
import type { Converted, Remark } from "./convert.ts";

/** Writes the settings in the order of the schema. `source`: the names of the files and variables they come from. */
export function writeToml({ values, remarks }: Converted, source: string): string {
  const head = [
    `# Configuration of tailscale2otel, converted from ${shown(source)} of the Go program.`,
    "# docs/moving.md lists every setting of both.",
  ];
  const parts = headings.flatMap(({ kind, title }) => {
    const lines = remarkLines(remarks.filter((remark) => remark.kind === kind));
    return lines.length === 0 ? [] : ["#", `# ${title}`, ...lines];
  });
  const tables = sections.flatMap(({ key, settings }) => {
    const lines = settings
      .flatMap((setting) => [setting.key, `${setting.key}_file`])
      .flatMap((name) => {
        const value = values.get(name);
        return value === undefined ? [] : [`${name.slice(name.lastIndexOf(".") + 1)} = ${tomlOf(value)}`];
      });
    if (lines.length === 0) return [];
    return ["", ...(key === "" ? [] : [`[${key}]`]), ...lines];
  });
  return `${[...head, ...parts, ...tables].join("\n")}\n`;
}

const headings: readonly { readonly kind: Remark["kind"]; readonly title: string }[] = [
  { kind: "task", title: "To do by hand:" },
  { kind: "different", title: "Different from before:" },
  { kind: "missing", title: "Without an equivalent:" },
  { kind: "unused", title: "Left out, because nothing here needs it, or because it had no effect there either:" },
];

/** A hostile file can contain any number of unknown settings. */
const maxRemarks = 200;

/** One line per text; settings with the same text share a line. */
function remarkLines(remarks: readonly Remark[]): readonly string[] {
  const byText = new Map<string, string[]>();
  for (const { about, text } of remarks) {
    const abouts = byText.get(text);
    if (abouts === undefined) byText.set(text, [shown(about)]);
    else if (!abouts.includes(shown(about))) abouts.push(shown(about));
  }
  return [...byText].flatMap(([text, abouts]) => {
    const listed = abouts.slice(0, maxRemarks).join(", ");
    const more = abouts.length > maxRemarks ? ` and ${abouts.length - maxRemarks} more` : "";
    return wrapped(`${listed}${more}${text === "" ? "" : `: ${shown(text)}`}`);
  });
}

function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  let line = "# -";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > 120 && line.length > 4) {
      lines.push(line);
      line = "#  ";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** Keeps any text on one line, so that a comment cannot become a setting. */
function shown(text: string): string {
  return printable(text.length > 2000 ? `${text.slice(0, 2000)}…` : text);
}

/** JSON is valid TOML for these values, except for tables and one control character. */
function tomlOf(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  const members = Object.entries(value).map(([name, one]) => `${tomlOf(name)} = ${tomlOf(one)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}
