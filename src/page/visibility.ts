/** Whether anybody can see the page: nothing is asked or drawn while nobody can. */
import { type ReadonlySignal, signal } from "@preact/signals";

const current = signal(document.visibilityState === "visible");
document.addEventListener("visibilitychange", () => {
  current.value = document.visibilityState === "visible";
});

export const isVisible: ReadonlySignal<boolean> = current;
