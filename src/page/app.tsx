/** The frame of the page: navigation, the state of the instance, and the chosen view. */
import type { JSX } from "preact";
import { DeliveryView } from "./delivery/index.tsx";
import { EventsView } from "./events/index.tsx";
import { HistoryView } from "./history/index.tsx";
import { NowView } from "./now/index.tsx";
import { hrefOf, route, type View, views } from "./route.ts";

const shown: Readonly<Record<View, { readonly title: string; readonly view: () => JSX.Element }>> = {
  now: { title: "Now", view: NowView },
  events: { title: "Events", view: EventsView },
  delivery: { title: "Delivery", view: DeliveryView },
  history: { title: "History", view: HistoryView },
};

export function App(): JSX.Element {
  const { view: current } = route.value;
  const { view: Current } = shown[current];
  return (
    <>
      <header>
        <nav aria-label="Views">
          {views.map((name) => (
            <a key={name} href={hrefOf({ view: name })} aria-current={name === current ? "page" : undefined}>
              {shown[name].title}
            </a>
          ))}
        </nav>
      </header>
      <main>
        <Current />
      </main>
    </>
  );
}
