/** Finds settings by what somebody types, and reads the marks of code in their descriptions. */
import type { ShownSetting } from "../../admin/instance.ts";

/** Every word must be somewhere in the row, whatever its case. */
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

/** A description in parts, of which those between backticks are code. */
export function spansOf(text: string): readonly Span[] {
  return text
    .split("`")
    .map((part, index) => ({ isCode: index % 2 === 1, text: part }))
    .filter(({ text: part }) => part !== "");
}
