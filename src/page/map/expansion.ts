/** Lets one element fill the window, with everything else out of reach. */
import { type RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

/** Whether it is expanded, and how to change that. */
export function useExpansion(
  element: RefObject<HTMLElement | null>,
): readonly [boolean, (isExpanded: boolean) => void] {
  const [isExpanded, setExpanded] = useState(false);
  useLayoutEffect(() => (isExpanded && element.current ? isolate(element.current) : undefined), [isExpanded]);
  return [isExpanded, setExpanded];
}

/** Makes all that is not the element, around it or in it inert, and stops the page from scrolling. @returns what undoes it */
function isolate(element: HTMLElement): () => void {
  const silenced: HTMLElement[] = [];
  for (
    let inner: Element = element;
    inner.parentElement !== null && inner !== document.body;
    inner = inner.parentElement
  ) {
    for (const sibling of inner.parentElement.children) {
      if (sibling === inner || !(sibling instanceof HTMLElement) || sibling.inert) continue;
      sibling.inert = true;
      silenced.push(sibling);
    }
  }
  const { overflow } = document.documentElement.style;
  document.documentElement.style.overflow = "hidden";
  return () => {
    for (const one of silenced) one.inert = false;
    document.documentElement.style.overflow = overflow;
  };
}
