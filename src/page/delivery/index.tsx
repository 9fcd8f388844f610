/** The view *Delivery*. */
import type { JSX } from "preact";

export function DeliveryView(): JSX.Element {
  return <h1>Delivery</h1>;
}
