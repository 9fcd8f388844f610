/** Formats record text for display: indented if it is JSON, bounded, and with hidden or deceptive characters made visible. */
import { printable } from "../lib/text.ts";

export interface RecordText {
  readonly text: string;
  /** True if the rest is omitted. */
  readonly isCut: boolean;
}

/** UTF-16 units shown of one item; more would only slow the browser down. */
export const maxShown = 100_000;

/** Without a limit, text that consists of brackets would grow to gigabytes. */
const maxIndent = 30;

/** Nobody reads deeper nesting, and one line per bracket would keep the browser busy for seconds. */
const maxDepth = 200;

/**
 * Indents JSON. Text that is neither JSON nor the beginning of it stays as it is, and so does text nested too deeply. Numbers keep
 * every digit, because they may be the problem.
 */
export function indented(text: string, isBeginning = false): string {
  if ((!isBeginning && !isJson(text)) || isDeep(text)) return text;
  let depth = 0;
  const newLine = (): string => `\n${"  ".repeat(Math.max(0, Math.min(depth, maxIndent)))}`;
  return text.replace(/"(?:[^"\\]|\\.)*(?:"|$)|[[{]\s*[\]}]|\s|[[\]{},:]/gs, (token) => {
    if (token.startsWith('"')) return token;
    if (/^\s$/.test(token)) return "";
    if (token.length > 1) return token.replace(/\s/g, "");
    if (token === ":") return ": ";
    if (token === ",") return token + newLine();
    depth += token === "[" || token === "{" ? 1 : -1;
    return token === "[" || token === "{" ? token + newLine() : newLine() + token;
  });
}

function isDeep(text: string): boolean {
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*(?:"|$)|[[\]{}]/gs)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth--;
    if (depth > maxDepth) return true;
  }
  return false;
}

/** True if the text is a JSON object or array. */
export function isStructured(text: string): boolean {
  return /^\s*[[{]/.test(text) && isJson(text);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** All records of an item, separated by blank lines. `isBeginning`: only the beginning of a text was stored. */
export function recordText(
  texts: readonly string[],
  { isIndented, isBeginning }: { readonly isIndented: boolean; readonly isBeginning: boolean },
): RecordText {
  let left = maxShown;
  const shown: string[] = [];
  for (const text of texts) {
    if (left <= 0) return { text: shown.join("\n\n"), isCut: true };
    const whole = isIndented && text.length <= left ? indented(text, isBeginning) : text;
    shown.push(visible(whole.slice(0, left)));
    if (whole.length > left) return { text: shown.join("\n\n"), isCut: true };
    left -= whole.length;
  }
  return { text: shown.join("\n\n"), isCut: false };
}

/** A name on one line. Characters that could hide or reorder text are replaced, except the joiners within emoji and words. */
export function visibleName(name: string): string {
  return printable(name, (character) => (character === "\u200c" || character === "\u200d" ? character : "\ufffd"));
}

/** Writes characters that are invisible or change the direction of text as escapes. */
export function visible(text: string): string {
  return printable(text, (character) => {
    if (character === "\n" || character === "\t") return character;
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}
