/** Values as they may be shown: secrets never. */
import { formatBytes } from "../lib/bytes.ts";
import { formatDuration } from "../lib/duration.ts";
import type { Setting } from "./walk.ts";

export const redacted = "[redacted]";

/** A value of `Config` as it would be written in TOML, what is secret in it left out. */
export function displayValue(setting: Setting, value: unknown): string {
  if (setting.isSecret) return value === "" ? '""' : redacted;
  switch (setting.kind) {
    case "bytes":
      return displaySize(Number(value));
    case "duration":
      return JSON.stringify(formatDuration(Number(value)));
    case "url":
      return JSON.stringify(displayUrl(String(value)));
    default:
      return JSON.stringify(value);
  }
}

/** An address without its credentials and without its query, which can be one. */
export function displayUrl(text: string): string {
  if (text === "" || !URL.canParse(text)) return text;
  const { username, search } = new URL(text);
  const bare = username === "" ? text : text.replace(/\/\/[^/?#]*@/, `//${redacted}@`);
  return search === "" ? bare : bare.replace(/\?[^#]*/, `?${redacted}`);
}

function displaySize(size: number): string {
  return size > 0 ? JSON.stringify(formatBytes(size)) : String(size);
}
