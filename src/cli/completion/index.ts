/** The `completion` command: prints shell scripts that ask this program for completions, and answers them. */
import { possibleSections } from "../../config/schema.ts";
import { type Command, command, repeatable } from "../command.ts";
import bash from "./bash.txt";
import fish from "./fish.txt";
import zsh from "./zsh.txt";

const shells = [
  {
    shell: "bash",
    script: bash,
    install: `echo 'eval "$(tailscale2otel completion bash)"' >> ~/.bashrc`,
    note: "Bash 3.2 or later; the package bash-completion is not needed.",
  },
  {
    shell: "zsh",
    script: zsh,
    install: `echo 'eval "$(tailscale2otel completion zsh)"' >> ~/.zshrc`,
    note: "It has to come after compinit in ~/.zshrc. Or write it to a file _tailscale2otel in a directory of $fpath.",
  },
  {
    shell: "fish",
    script: fish,
    install:
      "mkdir -p ~/.config/fish/completions && tailscale2otel completion fish > ~/.config/fish/completions/tailscale2otel.fish",
    note: "",
  },
] as const;

/** One command per shell, which prints its script. */
export const completionCommands: readonly Command[] = shells.map(({ shell, script, install, note }) =>
  command({
    name: `completion ${shell}`,
    description: `Print a script that completes commands, flags, values and settings in ${shell}`,
    args: {},
    examples: [[install, "for every shell from now on"]],
    ...(note === "" ? {} : { notes: note }),
    run: async () => ({ text: script, json: script }),
  }),
);

/**
 * The argument with which a shell asks: `tailscale2otel __complete check --conf`. Not a listed command, because users never
 * type it.
 */
export const completionRequest = "__complete";

interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Possible completions of the last word. */
interface Answer {
  readonly candidates: readonly Candidate[];
  /** `files`: complete file names; `nospace`: the word continues after the completion. */
  readonly directive?: "files" | "nospace";
}

/**
 * The answer to a shell: one candidate per line with its description after a tab, and a line with the directive. `words`: those
 * after the program's name, the last one incomplete.
 */
export function completionAnswer(commands: readonly Command[], words: readonly string[]): string {
  const { candidates, directive } = answerTo(commands, words.slice(0, -1), words.at(-1) ?? "");
  const lines = candidates.map(({ value, description }) =>
    description === "" ? value : `${value}\t${shortened(description)}`,
  );
  return [...lines, ...(directive === undefined ? [] : [`:${directive}`])].map((line) => `${line}\n`).join("");
}

function answerTo(commands: readonly Command[], before: readonly string[], current: string): Answer {
  const path: string[] = [];
  const given = new Set<string>();
  let found: Command | undefined;
  let pending: Flag | undefined;
  for (const word of before) {
    if (pending !== undefined) {
      pending = undefined;
      continue;
    }
    if (word === "help" && path.length === 0) continue;
    if (!word.startsWith("-")) {
      path.push(word);
      found = commands.find(({ name }) => name === path.join(" ")) ?? found;
      continue;
    }
    const [name = "", value] = word.replace(/^--?/, "").split("=", 2);
    const flag = flagsOf(found, commands).find((one) => one.name === name);
    given.add(name);
    if (flag !== undefined && flag.takesValue && value === undefined) pending = flag;
  }
  const flags = flagsOf(found, commands);
  if (pending !== undefined) return valuesOf(pending, current, "");
  const [written = "", value] = /^(--[^=]*)=(.*)$/s.exec(current)?.slice(1) ?? [];
  const assigned = flags.find(({ name, takesValue }) => takesValue && `--${name}` === written);
  if (assigned !== undefined && value !== undefined) return valuesOf(assigned, value, `${written}=`);
  if (current.startsWith("-")) {
    const left = flags.filter(({ name }) => repeatable.has(name) || !given.has(name));
    return matching(
      left.map(({ name, description }) => ({ value: `--${name}`, description })),
      current,
    );
  }
  if (found !== undefined) return { candidates: [] };
  const next = new Map<string, Candidate>();
  for (const { name, description } of commands) {
    const parts = name.split(" ");
    const part = parts[path.length];
    if (part === undefined || !path.every((word, index) => parts[index] === word)) continue;
    const isGroup = parts.length > path.length + 1;
    const known = next.get(part);
    const inner = new Set([...(known?.description.split(", ") ?? []), parts[path.length + 1] ?? ""]);
    next.set(part, { value: part, description: isGroup ? [...inner].join(", ") : description });
  }
  return matching([...next.values()], current);
}

interface Flag {
  readonly name: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  /** The placeholder for the value in the help. */
  readonly hint: string;
}

/** Before a command is named, these are the flags of `run`, which may precede it. */
function flagsOf(found: Command | undefined, commands: readonly Command[]): readonly Flag[] {
  const { args = {} } = found ?? commands.find(({ name }) => name === "run") ?? {};
  return Object.entries(args).flatMap(([name, definition]): readonly Flag[] => {
    if (definition.type === "positional") return [];
    const { description = "" } = definition;
    const choices = "options" in definition ? (definition.options ?? []) : [];
    const hint = "valueHint" in definition ? (definition.valueHint ?? "") : "";
    return [{ name, description, takesValue: definition.type !== "boolean", choices, hint }];
  });
}

function valuesOf({ name, choices, hint }: Flag, current: string, prefix: string): Answer {
  if (name === "set") return assignmentsOf(current, prefix);
  if (/^(?:path|file|directory|folder)$/.test(hint)) return { candidates: [], directive: "files" };
  return matching(
    choices.map((value) => ({ value: prefix + value, description: "" })),
    prefix + current,
  );
}

/** `key=` for every setting, or the values after it if they are a closed set. */
function assignmentsOf(current: string, prefix: string): Answer {
  const [, key, value] = /^([^=]*)=(.*)$/s.exec(current) ?? [];
  const sections = possibleSections();
  const settings = sections.flatMap((one) => one.settings);
  const setting =
    key === undefined ? undefined : settings.find((one) => one.key === key.replace(/_file$/, "") || one.key === key);
  if (setting !== undefined && value !== undefined) {
    if (/^(?:file|directory)$/.test(setting.kind) || setting.key !== key) return { candidates: [], directive: "files" };
    const words = setting.kind === "boolean" ? ["true", "false"] : setting.choices;
    const values = words.map((word) => ({ value: `${prefix}${key}=${word}`, description: "" }));
    return matching(values, prefix + current);
  }
  const names = settings.flatMap(({ key: name, kind, description }) => [
    { value: `${name}${kind === "map" ? "." : "="}`, description },
    ...(kind === "secret" ? [{ value: `${name}_file=`, description: "Path of a file that contains the value." }] : []),
  ]);
  // Completes section by section, like folders, because there are hundreds of settings.
  const steps = new Map<string, Candidate>();
  for (const { value: name, description } of names) {
    if (!name.startsWith(current)) continue;
    const dot = name.indexOf(".", current.length);
    const step = dot === -1 ? name : name.slice(0, dot + 1);
    const of = step === name ? description : (sections.find((one) => `${one.key}.` === step)?.description ?? "");
    steps.set(step, { value: prefix + step, description: of });
  }
  return { candidates: [...steps.values()], directive: "nospace" };
}

function matching(candidates: readonly Candidate[], current: string): Answer {
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)) };
}

/** The first sentence as plain text, cut to 70 characters. */
function shortened(description: string): string {
  const [sentence = ""] = description.replaceAll("`", "").split(/(?<=[.:])\s/, 1);
  const text = sentence.replace(/[.:]$/, "");
  return text.length > 70 ? `${text.slice(0, 69)}…` : text;
}
