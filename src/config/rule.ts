/** One mistake that shows only when settings are looked at together. */
import type { Problem } from "./diagnosis.ts";
import type { View } from "./view.ts";

/** `key`: whose mistake it is, if not that of the first setting that is given. */
export type Finding = Pick<Problem, "message" | "allowed" | "remedy"> & { readonly key?: string };

export interface Rule {
  readonly keys: readonly string[];
  readonly find: (view: View) => Finding | undefined;
}

/** What is wrong where one of two texts is empty. */
export function bothOrNeither(first: string, second: string, keys: readonly [string, string]): Finding | undefined {
  if ((first === "") === (second === "")) return undefined;
  const [present, missing] = first === "" ? [keys[1], keys[0]] : keys;
  return {
    key: present,
    message: `it is set and ${missing} is not`,
    allowed: "both or neither",
    remedy: `Set ${missing} too, or remove ${present}.`,
  };
}
