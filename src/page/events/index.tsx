/** The view *Events*. */
import type { JSX } from "preact";

export function EventsView(): JSX.Element {
  return <h1>Events</h1>;
}
