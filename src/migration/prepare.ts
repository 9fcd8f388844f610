/** Normalizes the given settings for the mapping table: one tailnet, no Helm chart wrapper, no placeholders. */
import { printable } from "../lib/text.ts";
import type { Remark } from "./convert.ts";
import { goText } from "./go-values.ts";
import { type Environment, type GoGiven, type GoGivens, placed } from "./source.ts";
import { rowOf } from "./table.ts";

type Table = Readonly<Record<string, unknown>>;

/**
 * Moves the selected tailnet of a list, with its routes, to where the settings of a single tailnet are.
 * @throws {Error} with the names if there are several and none is chosen, or if none has that name.
 */
export function selectTailnet(givens: GoGivens, wanted: string | undefined): void {
  const given = givens.get("tailnets");
  const entries = tablesIn(given);
  if (given === undefined || entries.length === 0) {
    if (wanted !== undefined) throw new Error("--tailnet is for a file with a list of tailnets, and this one has none");
    return;
  }
  const names = entries.map(({ name }) => goText(name) ?? "");
  const listed = names.map((name) => JSON.stringify(printable(name))).join(", ");
  if (wanted === undefined && entries.length > 1)
    throw new Error(
      `${given.place}: there are ${entries.length} tailnets (${listed}), and one is converted at a time: choose it with --tailnet`,
    );
  const name = wanted ?? names[0] ?? "";
  const entry = entries[names.indexOf(name)];
  if (entry === undefined)
    throw new Error(`${given.place}: there is no tailnet ${JSON.stringify(name)}; there are ${listed}`);
  const put = (from: Table, prefix: string): void => {
    for (const [member, value] of Object.entries(from)) {
      if (value === null) continue;
      if (typeof value === "object" && !Array.isArray(value)) put(value as Table, `${prefix}.${member}`);
      else givens.set(`${prefix}.${member}`, { value, place: given.place });
    }
  };
  const { name: _, auth = {}, http = {}, ...others } = entry;
  givens.set("tailscale.tailnet", { value: name, place: given.place });
  put({ auth, http }, "tailscale");
  put(others, "tailnets");
  for (const receiver of ["streaming", "webhook"]) {
    const { tailnet: __, ...route } =
      tablesIn(givens.get(`${receiver}.routes`)).find(({ tailnet }) => tailnet === name) ?? {};
    put(route, receiver);
  }
  // The only setting of a listed tailnet that can come from a variable.
  const injected = `tailnet_${name.toLowerCase().replace(/[^a-z0-9]/g, "_")}.auth.oauth.client_secret`;
  const secret = givens.get(injected);
  if (secret === undefined) return;
  givens.delete(injected);
  givens.set("tailscale.auth.oauth.client_secret", secret);
}

/**
 * Unwraps values of the Go program's Helm chart, which have the program's settings under `config`, next to settings of the
 * chart.
 */
export function takeFromChart(givens: GoGivens): readonly Remark[] {
  const isInside = (key: string): boolean => key.startsWith("config.");
  if (![...givens.keys()].some((key) => isInside(key) && rowOf(key.slice("config.".length)) !== undefined)) return [];
  const others = new Set<string>();
  const all = [...givens];
  givens.clear();
  for (const [key, given] of all) {
    if (isInside(key)) givens.set(key.slice("config.".length), given);
    else if (rowOf(key) !== undefined) givens.set(key, given);
    else others.add(key.replace(/\..*/s, ""));
  }
  return [...others].map((about) => ({
    kind: "missing",
    about,
    text: "this is for the Helm chart, not for the program",
  }));
}

const placeholder = /\$\{([A-Za-z_]\w*)\}|^\$([A-Za-z_]\w*)$/g;

/**
 * Replaces `${NAME}` by the variable. Early versions of the Go program did so themselves; later ones rely on other programs for
 * it. A value that cannot be filled in is removed, and a remark says so.
 */
export function fillPlaceholders(givens: GoGivens, environment: Environment): readonly Remark[] {
  const remarks: Remark[] = [];
  for (const [key, given] of givens) {
    const missing = new Set<string>();
    const used = new Set<string>();
    const fill = (text: string): string => {
      if (/\{\{.*\}\}/s.test(text)) missing.add("a template");
      return text.replace(placeholder, (_, braced?: string, bare?: string) => {
        const name = braced ?? bare ?? "";
        const value = environment[name] ?? "";
        (value === "" ? missing : used).add(name);
        return value;
      });
    };
    const value = mapTexts(given.value, fill);
    const about = placed(key, given);
    const [first] = missing;
    if (first !== undefined) {
      givens.delete(key);
      const why =
        first === "a template"
          ? "its value is a template"
          : `its value needs the variable ${first}, which is not set here`;
      remarks.push({ kind: "task", about, text: `${why}, so it is not converted` });
    } else if (used.size > 0) {
      givens.set(key, { ...given, value });
      remarks.push({ kind: "different", about, text: `the value of ${[...used].join(", ")} is filled in` });
    }
  }
  return remarks;
}

function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapTexts(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, mapTexts(one, map)]));
}

function tablesIn(given: GoGiven | undefined): readonly Table[] {
  const list = Array.isArray(given?.value) ? (given.value as readonly unknown[]) : [];
  return list.filter((item): item is Table => typeof item === "object" && item !== null && !Array.isArray(item));
}
