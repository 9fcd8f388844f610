/** What one source of settings gives, before any of it is read: the common form of file, environment and flags. */
import type { Origin, Problem, Warning } from "./diagnosis.ts";
import type { Target } from "./names.ts";

/** One written value. */
export interface Given extends Target {
  readonly origin: Origin;
  readonly written: unknown;
  /** `text` from variables and flags, where everything is text; `typed` from TOML. */
  readonly form: "text" | "typed";
}

export interface Layer {
  readonly given: readonly Given[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Warning[];
  /** Keys that somebody meant, by what he mistyped: nothing more is concluded from their absence. */
  readonly meant: readonly string[];
  /** It is there and could not be read: nothing is concluded from what seems to be missing. */
  readonly isUnread: boolean;
}

/** A layer while it is being collected. */
export interface LayerDraft {
  readonly given: Given[];
  readonly problems: Problem[];
  readonly warnings: Warning[];
  readonly meant: string[];
  isUnread: boolean;
}

export function emptyLayer(): LayerDraft {
  return { given: [], problems: [], warnings: [], meant: [], isUnread: false };
}
