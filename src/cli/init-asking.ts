/** Answers a question of `init` from a flag, a prompt or a default; invalid answers at the prompt are asked again. */
import type { Config } from "../config/index.ts";
import type { Answers, Secret } from "../setup/answers.ts";
import { UsageError } from "./flags.ts";
import { findingLines, type OnlineFinding } from "./online-finding.ts";
import type { Prompt } from "./prompt.ts";
import type { Output } from "./terminal.ts";

type FlagName =
  | ("source" | "endpoint" | "header" | "grafana-instance" | "grafana-token-file" | "reach" | "node")
  | ("webhook" | "webhook-secret-file" | "client-id" | "client-secret-file");

type GivenFlags = Readonly<Partial<Record<FlagName, string | undefined> & Record<"yes", boolean | undefined>>>;

export interface Asking extends Pick<Output, "hasColor"> {
  readonly flags: GivenFlags;
  /** Absent if there is nobody to ask. */
  readonly prompt: Prompt | undefined;
  readonly streamToken: string;
  say(text: string): Promise<void>;
  /** Returns an absolute path. */
  resolvePath(path: string): string;
  /** The configuration that these answers give. @throws {UsageError} if something under that key is invalid. */
  configWith(answers: Answers, key: "otlp" | "streaming" | "webhook" | "tailscale"): Config;
}

export interface Question<Value> {
  readonly flag: FlagName;
  /** Shown once, before the prompt. */
  readonly intro?: string;
  readonly prompt: string;
  /** The allowed values of the flag, in words. */
  readonly allowed: string;
  readonly isSecret?: true;
  /** The answer for Enter and `--yes`. */
  readonly usual?: string;
  /** Without a terminal, `usual` applies even without `--yes`. */
  readonly isOptional?: true;
  /** @throws {UsageError} */
  read(text: string): Value;
}

export async function answerTo<Value>(question: Question<Value>, { flags, prompt, say }: Asking): Promise<Value> {
  const { flag, usual, intro } = question;
  const given = flags[flag];
  if (given !== undefined) {
    try {
      return question.read(given);
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`--${flag}: ${error.message}`) : error;
    }
  }
  const isDecided = flags.yes === true || (prompt === undefined && question.isOptional === true);
  if (isDecided && usual !== undefined) return question.read(usual);
  if (prompt === undefined || flags.yes === true)
    throw new UsageError(
      `--${flag} is missing: give ${question.allowed}${flags.yes === true ? "" : " (there is no terminal to ask on)"}`,
    );
  if (intro !== undefined) await say(intro);
  const ask = () => (question.isSecret === true ? prompt.askSecret(question.prompt) : prompt.ask(question.prompt));
  return untilRead(ask, { say }, (typed) => {
    if (typed === "" && usual === undefined) throw new UsageError("an answer is needed (Ctrl-C ends)");
    return question.read(typed === "" ? (usual ?? "") : typed);
  });
}

/** Asks until an answer can be read, and prints what is wrong with the others. `read` throws `UsageError`. */
export async function untilRead<Value>(
  ask: () => Promise<string>,
  { say }: Pick<Asking, "say">,
  read: (text: string) => Value,
): Promise<Value> {
  for (;;) {
    try {
      return read(await ask());
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      await say(error.message);
    }
  }
}

/** @throws {UsageError} if a flag is given that has no effect for that reason. `remedy`: an alternative to omitting it. */
export function refuseIgnored({ flags }: Asking, names: readonly FlagName[], reason: string, remedy: string): void {
  const given = names.find((name) => flags[name] !== undefined);
  if (given !== undefined) throw new UsageError(`${reason}, --${given} has no effect: leave it out, or ${remedy}`);
}

/** `1` and the first word select the first choice, and so on; other text is returned unchanged. */
export function choiceOf(text: string, words: readonly string[]): string {
  const word = text.toLowerCase();
  return words[Number(text) - 1] ?? (words.includes(word) ? word : text);
}

/** @throws {UsageError} unless the text starts like a URL. It may contain a password, so it is not shown. */
export function addressOf(text: string, example: string): string {
  if (/^https?:\/\//i.test(text)) return text;
  throw new UsageError(`it must be an address that begins with http:// or https://, such as ${example}`);
}

/** A secret typed at the prompt, or the file named by the flag. `validate` throws `UsageError` if it cannot be used. */
export function askSecret(
  question: Pick<Question<Secret>, "flag" | "prompt">,
  asking: Asking,
  validate: (secret: Secret) => void,
): Promise<Secret> {
  const read = (text: string): Secret => {
    const secret = secretOf(question.flag, text, asking);
    validate(secret);
    return secret;
  };
  return answerTo({ ...question, allowed: "the path of a file that holds it", isSecret: true, read }, asking);
}

/** The answer to a question about a secret: a flag names a file, while a user types the secret itself. */
export function secretOf(flag: FlagName, text: string, { flags, resolvePath }: Asking): Secret {
  return flags[flag] === undefined ? { text } : { file: resolvePath(text) };
}

/** Prints the findings of testing an answer, indented below it. */
export function sayFindings(findings: readonly OnlineFinding[], asking: Asking): Promise<void> {
  return asking.say(
    findingLines(findings, asking)
      .map((line) => `   ${line}`)
      .join("\n"),
  );
}
