/** The view *Now*. */
import type { JSX } from "preact";

export function NowView(): JSX.Element {
  return <h1>Now</h1>;
}
