/** The configuration file that follows from the answers, commented; and the same as flags, to check it before it is written. */
import { type Answers, type Section, sectionsOf } from "./answers.ts";

/** TOML. `version`: of the program that writes it. */
export function fileText(answers: Answers, version: string): string {
  const head = [
    `# Configuration of tailscale2otel, written by: tailscale2otel init (${version})`,
    "#",
    "# It holds secrets: only its user may read it.",
    "# tailscale2otel check shows every setting, and what is wrong with one. All of them: docs/configuration.md",
    ...(answers.backend.endpoint === ""
      ? ["#", '# Nothing is exported yet. To change that: [otlp] endpoint, for example "http://127.0.0.1:4318"']
      : []),
  ];
  return `${[head.join("\n"), ...sectionsOf(answers).map(sectionText)].join("\n\n")}\n`;
}

/** `key=value` for each setting, as with `--set`. */
export function assignmentsOf(answers: Answers): readonly string[] {
  return sectionsOf(answers).flatMap(({ name, lines, isOff }) =>
    isOff === true ? [] : lines.map(([key, value]) => `${name}.${key}=${String(value)}`),
  );
}

function sectionText({ name, comment, lines, isOff }: Section): string {
  const texts = lines.flatMap(([key, value, remark]) => [
    ...(remark === undefined ? [] : [`# ${remark}`]),
    // JSON's strings are TOML's, but for one character.
    `${/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)} = ${JSON.stringify(value).replaceAll("\u007f", "\\u007f")}`,
  ]);
  if (isOff !== true) return [`# ${comment}`, `[${name}]`, ...texts].join("\n");
  const missing = "# Off until there is a secret: put it in, and remove the # of the lines with a setting.";
  return [`# ${comment}`, missing, ...[`[${name}]`, ...texts].map((line) => `# ${line}`)].join("\n");
}
