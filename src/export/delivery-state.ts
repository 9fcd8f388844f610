/** How log delivery fares, for health and the page. */
import type { Trouble } from "./backoff.ts";

export type DeliveryState =
  { readonly kind: "idle" } | { readonly kind: "delivering" } | ({ readonly kind: "waiting" } & Trouble);

export function isSameState(a: DeliveryState, b: DeliveryState): boolean {
  if (a.kind !== "waiting" || b.kind !== "waiting") return a.kind === b.kind;
  return a.why === b.why && a.since === b.since;
}
