/** Reads TypeScript sources as text: their imports, and the code without comments and strings. */

/** Folders of `src/` and files beside them, in levels; each may import only from levels further right. */
export const levels: readonly (readonly string[])[] = [
  ["main", "page"],
  ["cli"],
  ["demo", "migration", "setup", "supervisor"],
  ["app", "screen"],
  ["admin", "receivers", "tailnet", "export"],
  ["pipeline", "tailscale", "http"],
  ["ledger"],
  ["journal"],
  ["processors"],
  ["catalogue"],
  ["records"],
  ["config", "runtime"],
  ["lib", "errors", "version"],
];

/** Sources by path inside `src/`. */
export type Sources = ReadonlyMap<string, string>;

/** One line for every import that goes left or to a neighbour. */
export function brokenArrows(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    importsOf(text).flatMap((specifier) => {
      if (!specifier.startsWith(".")) return [];
      const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
      if (isAsset(target)) return [];
      if (!sources.has(target)) return [`${path} imports ${target}, which is not there`];
      const [from, to] = [roomOf(path), roomOf(target)];
      return from === to || levelOf(from) < levelOf(to) ? [] : [`${path} imports ${target}`];
    }),
  );
}

/** Files that import each other, directly or indirectly, and so cannot be understood alone. */
export function circles(sources: Sources): string[] {
  const targets = new Map(
    [...sources].map(([path, text]) => [
      path,
      importsOf(text).map((specifier) => new URL(specifier, `file:///${path}`).pathname.slice(1)),
    ]),
  );
  return [...sources.keys()].filter((path) => {
    const reached = new Set(targets.get(path));
    for (const one of reached) for (const next of targets.get(one) ?? []) reached.add(next);
    return reached.has(path);
  });
}

/** The files loaded with an entry: itself and its imports, directly or indirectly, except imports of types alone. */
export function loadedWith(sources: Sources, entry: string): string[] {
  const loaded = new Set([entry]);
  for (const path of loaded) {
    const code = withoutComments(sources.get(path) ?? "");
    for (const [, names = "", specifier = ""] of code.matchAll(/^(?:import|export)\s+([^;"]*?)\s*from "(\.[^"]+)"/gm)) {
      const isOfTypes = /^type\b/.test(names) || /^\{(?:\s*type\s[^,}]*,?)+\s*\}$/.test(names);
      if (!isOfTypes) loaded.add(new URL(specifier, `file:///${path}`).pathname.slice(1));
    }
  }
  return [...loaded];
}

/** Specifiers a file imports or re-exports, types included. */
export function importsOf(text: string): string[] {
  return [...withoutComments(text).matchAll(/(?<!["'])\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map(
    ([, specifier]) => specifier as string,
  );
}

/** The folder inside `src/`, or the name of a file beside the folders. */
export function roomOf(path: string): string {
  const [first = ""] = path.split("/");
  return first.replace(/\.tsx?$/, "");
}

/** The text without comments. */
export function withoutComments(text: string): string {
  return scan(text, "strings");
}

/** The text without comments and without the content of strings and regular expressions. */
export function codeOnly(text: string): string {
  return scan(text, "no strings");
}

function levelOf(room: string): number {
  return levels.findIndex((names) => names.includes(room));
}

function isAsset(path: string): boolean {
  return !/\.tsx?$/.test(path);
}

/** Patterns for parts of a source that are skipped or copied as a whole, tried in this order at each position. */
const plain = /[^/"'`{}]*/y;
const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const string = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const template = /`(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y;
const templateRest = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y;
const regularExpression = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;

function scan(text: string, keep: "strings" | "no strings"): string {
  let kept = "";
  let at = 0;
  /** Number of open braces in each enclosing `${}` of a template. */
  const holes: number[] = [];
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const literal = (found: string): void => {
    kept += keep === "strings" ? found : '""';
  };
  while (at < text.length) {
    plain.lastIndex = at;
    const copied = plain.exec(text)?.[0] ?? "";
    kept += copied;
    at += copied.length;
    if (take(comment) !== undefined) {
      kept += " ";
      continue;
    }
    const mayDivide =
      text.charAt(at) === "/" &&
      /[\w)\]]\s*$/.test(kept.slice(-20)) &&
      !/\b(?:return|typeof|case)\s*$/.test(kept.slice(-20));
    const found = take(string) ?? take(template) ?? (mayDivide ? undefined : take(regularExpression));
    if (found !== undefined) {
      literal(found);
      if (found.endsWith("${") && found.startsWith("`")) holes.push(0);
      continue;
    }
    const character = text.charAt(at++);
    kept += character;
    const depth = holes.at(-1);
    if (depth === undefined) continue;
    if (character === "{") holes[holes.length - 1] = depth + 1;
    if (character !== "}") continue;
    if (depth > 0) {
      holes[holes.length - 1] = depth - 1;
      continue;
    }
    const rest = take(templateRest) ?? "";
    literal(rest);
    if (rest.endsWith("`")) holes.pop();
  }
  return kept;
}
