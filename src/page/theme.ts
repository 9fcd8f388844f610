/** The color scheme, light or dark: that of the system, or the one chosen in this browser. */
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";

export const themes = ["auto", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const key = "tailscale2otel.theme";

const chosen = signal<Theme>(themes.find((name) => name === remembered()) ?? "auto");
const systemScheme = matchMedia("(prefers-color-scheme: dark)");
const isSystemDark = signal(systemScheme.matches);
systemScheme.addEventListener("change", ({ matches }) => {
  isSystemDark.value = matches;
});

export const theme: ReadonlySignal<Theme> = chosen;

/** Canvas drawings are redrawn when this changes. */
export const scheme: ReadonlySignal<"light" | "dark"> = computed(() =>
  chosen.value === "auto" ? (isSystemDark.value ? "dark" : "light") : chosen.value,
);

/** Cached values of variables by name, valid for the current scheme. */
const values = new Map<string, string>();

effect(() => {
  const { dataset } = document.documentElement;
  if (chosen.value === "auto") delete dataset["theme"];
  else dataset["theme"] = chosen.value;
  if (scheme.value !== undefined) values.clear();
});

/** Takes effect at once and, in this browser, after a reload. */
export function chooseTheme(next: Theme): void {
  chosen.value = next;
  try {
    localStorage.setItem(key, next);
  } catch {
    // The browser stores nothing, so the choice lasts until the page is closed.
  }
}

/** Value of a variable of `style.css`, such as `--kind-virtual`, in the current scheme: a color, since bundling replaces `light-dark()`. */
export function colorValue(variable: string): string {
  let value = values.get(variable);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
    values.set(variable, value);
  }
  return value;
}

function remembered(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
