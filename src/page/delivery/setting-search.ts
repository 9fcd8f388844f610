/** Searches the settings by text, and splits their descriptions into text and code. */
import type { ShownSetting } from "../../admin/instance.ts";

/** Settings that contain every word in some column, ignoring case. */
export function foundSettings(
  settings: readonly ShownSetting[],
  text: string,
  isOnlySet: boolean,
): readonly ShownSetting[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return settings.filter((row) => {
    if (isOnlySet && row.isDefault) return false;
    const { key, value, origin, description } = row;
    const all = `${key} ${value} ${origin} ${description}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

export interface Span {
  readonly isCode: boolean;
  readonly text: string;
}

/** Splits a description into parts; those between backticks are code. */
export function spansOf(text: string): readonly Span[] {
  return text
    .split("`")
    .map((part, index) => ({ isCode: index % 2 === 1, text: part }))
    .filter(({ text: part }) => part !== "");
}
